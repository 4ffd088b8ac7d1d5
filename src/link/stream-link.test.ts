/** Frames over a stream: joined and cut at any byte, in both directions. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { Packets } from '../packet/packets.ts';
import { ERRNO } from '../sys/errno.ts';
import type { Sys } from '../sys/sys.ts';
import { StreamLink, type StreamMemory } from './stream-link.ts';

const ARENA_BYTES = 512 * 1024;
const PART_BYTES = 256 * 1024;

/** A connected socket: what is read from it comes in pieces, and it takes as many bytes at a time as it is told to. */
class Socket {
  readonly memories: Map<number, Uint8Array | Int32Array> = new Map();
  incoming: number[] = [];
  readonly sent: number[] = [];
  /** Bytes of each read and of each write; then 64 KiB. */
  pieces: number[] = [];
  closed: boolean = false;

  register(memory: Uint8Array | Int32Array): number {
    this.memories.set(this.memories.size, memory);
    return this.memories.size - 1;
  }

  unregister(): void {}

  setOption(): number {
    return 0;
  }

  receive(_fd: number, memory: number, at: number, length: number): number {
    if (this.incoming.length === 0) return this.closed ? 0 : -ERRNO.EAGAIN;
    const bytes = this.incoming.splice(0, Math.min(length, this.pieces.shift() ?? 65_536));
    this.memories.get(memory)!.set(bytes, at);
    return bytes.length;
  }

  sendVector(_fd: number, vector: number, at: number, count: number): number {
    const bytes: number[] = [];
    const words = this.memories.get(vector)!;
    for (let i = at; i < at + 3 * count; i += 3) {
      const [memory, start, length] = words.subarray(i, i + 3) as unknown as [number, number, number];
      for (const byte of this.memories.get(memory)!.subarray(start, start + length)) bytes.push(byte);
    }
    const taken = this.pieces.length === 0 ? bytes.length : Math.min(bytes.length, this.pieces.shift()!);
    if (taken === 0) return -ERRNO.EAGAIN;
    for (const byte of bytes.slice(0, taken)) this.sent.push(byte);
    return taken;
  }

  close(): void {}
}

class Scene {
  readonly socket: Socket = new Socket();
  readonly packets: Packets;
  readonly link: StreamLink;

  constructor() {
    const bytes = new Uint8Array(ARENA_BYTES + PART_BYTES);
    this.packets = new Packets(ARENA_BYTES, 2048, bytes);
    const id = this.socket.register(bytes);
    const memory: StreamMemory = { bytes, id, at: ARENA_BYTES, length: PART_BYTES };
    this.link = new StreamLink(this.socket as unknown as Sys, { name: 'vm', fd: 9, memory });
  }

  /** As long as the socket has more, of which the poll set would tell. */
  receive(framesMax: number = 256): number[][] {
    const frame = new Int32Array(256);
    const all: number[] = [];
    do {
      const count = this.link.receive(this.packets, frame, framesMax - all.length);
      all.push(...frame.subarray(0, Math.max(count, 0)));
    } while (this.socket.incoming.length > 0 && all.length < framesMax);
    for (const packet of all) {
      const start = this.packets.start[packet];
      assert.deepEqual([...this.packets.bytes.subarray(start - 12, start)], new Array(12).fill(0));
    }
    return all.map((packet) => this.bytesOf(packet));
  }

  transmit(frames: readonly number[][]): number {
    const rows = frames.map((frame) => {
      const packet = this.packets.allocate(frame.length);
      this.packets.bytes.set(frame, this.packets.start[packet]);
      this.packets.bytes.fill(0xee, this.packets.start[packet] - 12, this.packets.start[packet]);
      return packet;
    });
    const taken = this.link.transmit(this.packets, Int32Array.from(rows), rows.length);
    for (const row of rows) {
      const header = this.packets.bytes.subarray(this.packets.start[row] - 12, this.packets.start[row]);
      assert.ok(
        header.every((byte) => byte === 0xee),
        'what stood in front of the frame is there again',
      );
    }
    this.packets.reset();
    return taken;
  }

  bytesOf(packet: number): number[] {
    const at = this.packets.start[packet];
    return [...this.packets.bytes.subarray(at, at + this.packets.length[packet])];
  }
}

function framed(frames: readonly number[][]): number[] {
  return frames.flatMap((frame) => [...lengthOf(frame.length), ...frame]);
}

function lengthOf(length: number): number[] {
  return [length >>> 24, (length >>> 16) & 0xff, (length >>> 8) & 0xff, length & 0xff];
}

function frameOf(seed: number, length: number): number[] {
  return Array.from({ length }, (_, i) => (seed * 31 + i) & 0xff);
}

const FRAMES = fc.array(
  fc.tuple(fc.nat(255), fc.oneof(fc.integer({ min: 14, max: 100 }), fc.integer({ min: 14, max: 3000 }))),
  { minLength: 1, maxLength: 12 },
);
const PIECES = fc.array(fc.integer({ min: 1, max: 2000 }), { maxLength: 40 });

describe('frames over a stream', () => {
  // covers P1
  it('are received whole, in order, wherever the socket cuts them', () => {
    fc.assert(
      fc.property(FRAMES, PIECES, fc.integer({ min: 1, max: 5 }), (seeds, pieces, framesMax) => {
        const scene = new Scene();
        const frames = seeds.map(([seed, length]) => frameOf(seed, length));
        scene.socket.incoming = framed(frames);
        scene.socket.pieces = [...pieces];
        const got: number[][] = [];
        for (let batch = scene.receive(framesMax); batch.length > 0; batch = scene.receive(framesMax)) {
          got.push(...batch);
          scene.packets.reset();
        }
        assert.deepEqual(got, frames);
      }),
      { numRuns: 50 },
    );
  });

  it('are sent whole, in order, however little the socket takes, and a piece that was sent is completed first', () => {
    fc.assert(
      fc.property(FRAMES, fc.array(fc.integer({ min: 0, max: 900 }), { maxLength: 30 }), (seeds, pieces) => {
        const scene = new Scene();
        const frames = seeds.map(([seed, length]) => frameOf(seed, length));
        const half = Math.ceil(frames.length / 2);
        scene.socket.pieces = [...pieces];
        assert.equal(scene.transmit(frames.slice(0, half)), half);
        assert.equal(scene.transmit(frames.slice(half)), frames.length - half);
        for (let tries = 0; scene.link.blocked && tries < 200; tries++) scene.link.drain();
        assert.deepEqual(scene.socket.sent, framed(frames));
      }),
      { numRuns: 50 },
    );
  });

  it('are let out where the length is none, with the stream kept in step', () => {
    const scene = new Scene();
    const good = frameOf(3, 60);
    const short = frameOf(4, 13);
    scene.socket.incoming = [
      ...framed([good, short]),
      ...lengthOf(70_000),
      ...frameOf(5, 70_000),
      ...framed([[], good]),
    ];
    scene.socket.pieces = [7, 1, 90];
    assert.deepEqual(scene.receive(), [good, good]);
    assert.equal(scene.link.skipped, 3);
  });

  it('leave a turn its end when somebody sends what is none without end', () => {
    const scene = new Scene();
    let reads = 0;
    scene.socket.receive = (_fd, memory, at, length) => {
      assert.ok(++reads < 100, 'this would go on for ever');
      scene.socket.memories.get(memory)!.fill(reads === 1 ? 0xff : 0, at, at + length);
      return length;
    };
    assert.deepEqual(scene.receive(), []);
    assert.ok(scene.link.skipped > 0);
  });

  it('of the largest size pass, and wait for a socket that is full, as many as there is room for', () => {
    const scene = new Scene();
    const large = frameOf(1, 65_535);
    scene.socket.incoming = framed([large, large, large]);
    assert.deepEqual(scene.receive(), [large, large, large]);
    scene.packets.reset();
    scene.socket.pieces = [1000];
    assert.equal(scene.transmit([large]), 1);
    assert.ok(scene.link.blocked);
    // The queue has room for one more of this size, and no third.
    assert.equal(scene.transmit([large, large]), 1);
    assert.equal(scene.link.refused, 1);
    assert.ok(scene.link.drain());
    assert.deepEqual(scene.socket.sent, framed([large, large]));
  });

  it('end with the stream', () => {
    const scene = new Scene();
    scene.socket.incoming = framed([frameOf(1, 60)]).slice(0, 40);
    scene.socket.closed = true;
    const frame = new Int32Array(4);
    assert.equal(scene.link.receive(scene.packets, frame, 4), 0);
    assert.equal(scene.link.receive(scene.packets, frame, 4), -ERRNO.EPIPE);
  });
});
