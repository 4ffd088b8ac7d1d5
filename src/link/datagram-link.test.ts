/** Frames as datagrams: close together in the arena, queued while the other side takes none, lost while it is away. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { Packets } from '../packet/packets.ts';
import { ERRNO } from '../sys/errno.ts';
import { DATAGRAM_WORDS, type Sys } from '../sys/sys.ts';
import { DatagramLink } from './datagram-link.ts';

const ARENA_BYTES = 512 * 1024;
const QUEUE_BYTES = 140_000;
/** More than the room for one, as the kernel cuts it. */
const CUT_BYTES = 65_536;

/** A connected socket of datagrams, which takes as many as it is told to. */
class Socket {
  readonly memories: Map<number, Uint8Array | Int32Array> = new Map();
  incoming: number[][] = [];
  receiveError: number = 0;
  readonly sent: number[][] = [];
  /** How many each call takes, or a negative errno; then all. */
  takes: number[] = [];

  register(memory: Uint8Array | Int32Array): number {
    this.memories.set(this.memories.size, memory);
    return this.memories.size - 1;
  }

  unregister(): void {}

  receiveDatagrams(
    _fd: number,
    memory: number,
    at: number,
    end: number,
    headroom: number,
    room: number,
    records: number,
    recordsAt: number,
    max: number,
  ): number {
    if (this.receiveError !== 0) {
      const error = this.receiveError;
      this.receiveError = 0;
      return error;
    }
    const bytes = this.memories.get(memory)!;
    const words = this.memories.get(records)!;
    const datagrams = this.incoming.splice(0, max);
    for (const [index, datagram] of datagrams.entries()) {
      const start = at + headroom + index * (headroom + room);
      assert.ok(start + room <= end, 'there is room for the largest');
      bytes.set(datagram.slice(0, room), start);
      words.set([start, Math.min(datagram.length, room)], recordsAt + index * DATAGRAM_WORDS);
    }
    return datagrams.length;
  }

  sendDatagrams(_fd: number, memory: number, records: number, recordsAt: number, count: number): number {
    const takes = this.takes.shift() ?? count;
    if (takes < 0) return takes;
    const words = this.memories.get(records)!;
    for (let i = 0; i < Math.min(takes, count); i++) {
      const at = recordsAt + i * DATAGRAM_WORDS;
      const [start, length, ...others] = words.subarray(at, at + DATAGRAM_WORDS);
      assert.deepEqual(others, [0, -1, -1, 0, 0, 0, 0, 0, 0, 0], 'for whom the socket is connected to');
      this.sent.push([...this.memories.get(memory)!.subarray(start, start! + length!)]);
    }
    return Math.min(takes, count);
  }

  close(): void {}
}

class Scene {
  readonly socket: Socket = new Socket();
  readonly packets: Packets;
  readonly link: DatagramLink;
  readonly away: number[] = [];

  constructor() {
    const bytes = new Uint8Array(ARENA_BYTES + QUEUE_BYTES);
    this.packets = new Packets(ARENA_BYTES, 2048, bytes);
    const queue = { bytes, id: this.socket.register(bytes), at: ARENA_BYTES, length: QUEUE_BYTES };
    const onAway = (errno: number): void => void this.away.push(errno);
    const options = { name: 'vm', fd: 9, queue, present: true, onAway };
    this.link = new DatagramLink(this.socket as unknown as Sys, options);
  }

  receive(framesMax: number = 256): number[][] {
    const frame = new Int32Array(256);
    const count = this.link.receive(this.packets, frame, framesMax);
    assert.ok(count >= 0);
    return Array.from(frame.subarray(0, count), (packet) => {
      const at = this.packets.start[packet]!;
      assert.ok(
        this.packets.bytes.subarray(at - 12, at).every((byte) => byte === 0),
        'its virtio-net header is empty',
      );
      return [...this.packets.bytes.subarray(at, at + this.packets.length[packet]!)];
    });
  }

  transmit(frames: readonly number[][]): number {
    const rows = frames.map((frame) => {
      const packet = this.packets.allocate(frame.length);
      this.packets.bytes.set(frame, this.packets.start[packet]);
      return packet;
    });
    const taken = this.link.transmit(this.packets, Int32Array.from(rows), rows.length);
    this.packets.reset();
    return taken;
  }
}

function frameOf(seed: number, length: number): number[] {
  return Array.from({ length }, (_, i) => (seed * 31 + i) & 0xff);
}

const FRAMES = fc
  .array(fc.tuple(fc.nat(255), fc.oneof(fc.integer({ min: 14, max: 100 }), fc.integer({ min: 14, max: 3000 }))), {
    minLength: 1,
    maxLength: 30,
  })
  .map((seeds) => seeds.map(([seed, length]) => frameOf(seed, length)));

describe('frames as datagrams', () => {
  it('are received whole, in order, and lie close together', () => {
    fc.assert(
      fc.property(FRAMES, fc.integer({ min: 1, max: 20 }), (frames, framesMax) => {
        const scene = new Scene();
        scene.socket.incoming = [...frames];
        const got: number[][] = [];
        for (let batch = scene.receive(framesMax); batch.length > 0; batch = scene.receive(framesMax)) {
          assert.ok(batch.length <= framesMax);
          assert.ok(scene.packets.used <= batch.reduce((sum, { length }) => sum + length + 12 + 4, 0));
          got.push(...batch);
          scene.packets.reset();
        }
        assert.deepEqual(got, frames);
      }),
      { numRuns: 50 },
    );
  });

  it('of the largest size are received, as many as there is room for in the arena', () => {
    const scene = new Scene();
    const largest = frameOf(1, 65_535);
    scene.socket.incoming = Array.from({ length: 9 }, () => largest);
    const got: number[] = [];
    for (let batch = scene.receive(); batch.length > 0; batch = scene.receive()) {
      for (const frame of batch) assert.deepEqual(frame, largest);
      got.push(batch.length);
      scene.packets.reset();
    }
    assert.deepEqual(got, [7, 2]);
  });

  it('are left out where the datagram is none', () => {
    const scene = new Scene();
    const good = frameOf(3, 60);
    scene.socket.incoming = [[], frameOf(1, 13), good, frameOf(2, CUT_BYTES), good];
    assert.deepEqual(scene.receive(), [good, good]);
    assert.equal(scene.link.skipped, 3);
  });

  it('leave a turn its end when somebody sends others without end', () => {
    const scene = new Scene();
    scene.socket.incoming = Array.from({ length: 1000 }, () => []);
    assert.deepEqual(scene.receive(100), []);
    assert.equal(scene.link.skipped, 100);
  });

  it('are sent in order, however few the socket takes', () => {
    const takes = fc.array(fc.constantFrom(1, 2, 5, -ERRNO.EAGAIN, -ERRNO.ENOBUFS), { maxLength: 20 });
    fc.assert(
      fc.property(FRAMES, FRAMES, takes, (first, second, pieces) => {
        const scene = new Scene();
        scene.socket.takes = [...pieces];
        assert.equal(scene.transmit(first), first.length);
        assert.equal(scene.transmit(second), second.length);
        for (let tries = 0; scene.link.blocked && tries < 50; tries++) scene.link.drain();
        assert.deepEqual(scene.socket.sent, [...first, ...second]);
      }),
      { numRuns: 50 },
    );
  });

  it('wait while the socket is full, as many as there is room for', () => {
    const scene = new Scene();
    const large = frameOf(1, 65_535);
    scene.socket.takes = [-ERRNO.EAGAIN];
    assert.equal(scene.transmit([large, large, large]), 2);
    assert.deepEqual([scene.link.blocked, scene.link.refused], [true, 1]);
    assert.ok(scene.link.drain());
    assert.ok(!scene.link.blocked);
    assert.equal(scene.socket.sent.length, 2);
  });

  it('of which the kernel takes none are passed over', () => {
    const scene = new Scene();
    const frames = [1, 2, 3].map((seed) => frameOf(seed, 60));
    scene.socket.takes = [1, -ERRNO.EMSGSIZE, 1, -ERRNO.EAGAIN, -ERRNO.EMSGSIZE];
    assert.equal(scene.transmit(frames), 2);
    assert.equal(scene.transmit([frames[1]!, frames[0]!]), 2);
    assert.ok(scene.link.drain());
    assert.deepEqual(scene.socket.sent, [frames[0], frames[2], frames[0]]);
    assert.equal(scene.link.refused, 2);
  });
});

describe('whoever is at the other side', () => {
  const frame = frameOf(1, 60);

  it('has gone when the socket says so, once, and what is sent is lost until he is back', () => {
    const scene = new Scene();
    scene.socket.takes = [1, -ERRNO.ECONNREFUSED];
    assert.equal(scene.transmit([frame, frame, frame]), 1);
    assert.equal(scene.transmit([frame]), 0);
    assert.deepEqual(scene.away, [ERRNO.ECONNREFUSED]);
    scene.link.present = true;
    assert.equal(scene.transmit([frame]), 1);
    assert.equal(scene.socket.sent.length, 2);
  });

  it('takes what waits for him with him', () => {
    const scene = new Scene();
    scene.socket.takes = [-ERRNO.EAGAIN, -ERRNO.ECONNREFUSED];
    assert.equal(scene.transmit([frame, frame]), 2);
    assert.ok(scene.link.drain(), 'nothing is left to wait for');
    assert.deepEqual([scene.away, scene.link.blocked, scene.socket.sent], [[ERRNO.ECONNREFUSED], false, []]);
  });

  it('is heard as soon as he sends, whatever was told of the one before', () => {
    const scene = new Scene();
    scene.socket.receiveError = -ERRNO.ECONNRESET;
    scene.socket.incoming = [frame];
    assert.deepEqual(scene.receive(), []);
    assert.deepEqual(scene.away, [ERRNO.ECONNRESET]);
    assert.deepEqual(scene.receive(), [frame]);
  });
});
