/** Payload that a virtual machine lends: from its memory into sockets of the real kernel, and what it may do to it meanwhile. */
import assert from 'node:assert/strict';
import { ftruncateSync } from 'node:fs';
import { afterEach, describe, it } from 'node:test';
import fc from 'fast-check';
import { CaptureLink } from '../link/capture.ts';
import type { Link } from '../link/link.ts';
import { WrappedLink } from '../link/wrapped-link.ts';
import { NOT_LENT, type Packets, VNET_HEADER_BYTES } from '../packet/packets.ts';
import * as tcp from '../wire/tcp.ts';
import * as vnet from '../wire/vnet-header.ts';
import { FrontEnd, frameOf, withHeader } from './vhost-user-front-end-fixture.test.ts';
import {
  FRAMES_MAX,
  HEADERS_BYTES,
  PAYLOAD_BYTES,
  StreamGuest,
  type StreamGuestOptions,
} from './vhost-user-stream-fixture.test.ts';

let guest: StreamGuest;
/** Frames whose payload was lent. */
let lent = 0;
/** How much the host's end has read. */
let drained = 0;
/** Called while the frames of a vector are in use. */
let meanwhile: () => void = () => {};

class Observed extends WrappedLink {
  override receive(packets: Packets, frame: Int32Array, framesMax: number): number {
    const count = this.inner.receive(packets, frame, framesMax);
    for (let i = 0; i < count; i++) if (packets.lent[frame[i]!] !== NOT_LENT) lent++;
    if (count > 0) meanwhile();
    return count;
  }
}

function start(options: StreamGuestOptions = {}): void {
  meanwhile = () => {};
  guest = new StreamGuest({ around: (link: Link) => new Observed(link), ...options });
  lent = 0;
  drained = 0;
}

/** What is at a place of the stream. */
function byteAt(position: number): number {
  return (position * 31 + (position >> 8) * 7 + (position >> 16)) & 0xff;
}

function fill(index: number, position: number, bytes: number): void {
  const at = guest.payloadAt(index);
  for (let i = 0; i < bytes; i++) guest.front.bytes[at + i] = byteAt(position + i);
}

function check(bytes: Uint8Array, position: number): void {
  for (let i = 0; i < bytes.length; i++) {
    if (bytes[i] !== byteAt(position + i)) assert.fail(`byte ${position + i} is ${bytes[i]}`);
  }
}

/** How much more the guest may send. */
function room(): number {
  return (guest.edge - guest.sequence) | 0;
}

/** Reads the stream up to a place, and holds it against what was sent. */
function drain(to: number): void {
  const until = guest.sys.nowUs() + 10_000_000;
  while (drained < to && guest.sys.nowUs() < until) {
    const bytes = guest.hostReceived();
    check(bytes, drained);
    drained += bytes.length;
    // The host's socket tells that it has room when the kernel has got to it.
    guest.engine.turn(bytes.length === 0 ? 100 : 0);
  }
  assert.equal(drained, to);
}

afterEach(() => guest.close());

describe('lent payload', () => {
  it("is in the host's socket, in order, however many buffers it lies in", () => {
    start();
    let sent = 0;
    for (const [i, pieces] of [1, 2, 3, 18, 44, 200].entries()) {
      const bytes = PAYLOAD_BYTES - i * 777;
      fill(i, sent, bytes);
      guest.sendFrame(i, bytes, pieces);
      sent += bytes;
    }
    guest.turns();
    drain(sent);
    assert.equal(lent, 6);
    assert.equal(guest.takeSent(), 6);
  });

  it('is read when it is sent, and its headers only before they are judged', () => {
    start();
    fill(0, 0, PAYLOAD_BYTES);
    const at = guest.payloadAt(0);
    meanwhile = () => {
      guest.front.bytes.fill(0xff, at - HEADERS_BYTES, at);
      guest.front.bytes.fill(0xee, at + 40_000, at + 40_100);
    };
    guest.sendFrame(0, PAYLOAD_BYTES, 3);
    guest.turns();
    const bytes = guest.hostReceived();
    assert.equal(bytes.length, PAYLOAD_BYTES);
    check(bytes.subarray(0, 40_000), 0);
    assert.ok(bytes.subarray(40_000, 40_100).every((byte) => byte === 0xee));
    check(bytes.subarray(40_100), 40_100);
  });

  it('has its buffers given back when it has been handed over, and not before', () => {
    start();
    fill(0, 0, PAYLOAD_BYTES);
    let before = -1;
    meanwhile = () => {
      before = guest.takeSent();
    };
    guest.front.wasCalled(1);
    guest.sendFrame(0, PAYLOAD_BYTES);
    guest.turns();
    assert.equal(before, 0);
    assert.equal(guest.takeSent(), 1);
  });

  it('is copied when the socket takes no more, or it lies ahead of a gap', () => {
    start();
    let sent = 0;
    let index = 0;
    const send = (position: number): void => {
      fill(index, position, PAYLOAD_BYTES);
      guest.sequence = (1001 + position) | 0;
      guest.sendFrame(index, PAYLOAD_BYTES, 1 + (index % 5));
      index = (index + 1) % FRAMES_MAX;
      guest.turns();
      guest.take();
      assert.equal(guest.takeSent(), 1);
    };
    // Each pair in the wrong order, until the window is closed: the host does not read.
    send(0);
    for (sent = PAYLOAD_BYTES; guest.edge - (1001 + sent) >= 2 * PAYLOAD_BYTES; sent += 2 * PAYLOAD_BYTES) {
      send(sent + PAYLOAD_BYTES);
      send(sent);
    }
    assert.ok(sent > 1_000_000);
    assert.ok(guest.engine.tcp.heldBytes > 0);
    // What the guest does with its buffers now is nobody's concern.
    for (let i = 0; i < FRAMES_MAX; i++)
      guest.front.bytes.fill(0xff, guest.payloadAt(i), guest.payloadAt(i) + PAYLOAD_BYTES);
    drain(sent);
  });

  it('is left where it is by who answers it with a reset', () => {
    start();
    guest.sendFrame(0, PAYLOAD_BYTES, 3, 4001);
    guest.turns();
    const answer = guest.takeBuffer();
    assert.deepEqual([lent, guest.takeSent(), answer.length], [1, 1, VNET_HEADER_BYTES + HEADERS_BYTES]);
    assert.equal(answer[VNET_HEADER_BYTES + HEADERS_BYTES - 20 + 13], tcp.RST);
  });

  it('is whole for a capture', () => {
    const seen: Uint8Array[] = [];
    const sink = {
      received: (packets: Packets, packet: number) => {
        const from = packets.start[packet]! + HEADERS_BYTES;
        seen.push(packets.bytes.slice(from, packets.start[packet]! + packets.length[packet]!));
      },
      transmitted: () => {},
      turnEnded: () => {},
    };
    start({ around: (link) => new CaptureLink(new Observed(link), sink) });
    fill(0, 0, PAYLOAD_BYTES);
    guest.sendFrame(0, PAYLOAD_BYTES, 7);
    guest.turns();
    assert.equal(lent, 1);
    assert.equal(seen.at(-1)!.length, PAYLOAD_BYTES);
    check(seen.at(-1)!, 0);
    drain(PAYLOAD_BYTES);
  });

  it('is zeros where the guest cuts its memory short, and the engine goes on', () => {
    start();
    fill(0, 0, PAYLOAD_BYTES);
    meanwhile = () => ftruncateSync(guest.front.memoryFd, guest.payloadAt(0) + 4096);
    guest.sendFrame(0, PAYLOAD_BYTES, 3);
    guest.turns();
    const bytes = guest.hostReceived();
    assert.equal(bytes.length, PAYLOAD_BYTES);
    check(bytes.subarray(0, 100), 0);
    assert.ok(bytes.subarray(8192).every((byte) => byte === 0));
  });

  it('is every byte of any stream', () => {
    const frame = fc.record({
      bytes: fc.oneof(fc.integer({ min: 1, max: 3000 }), fc.integer({ min: 8000, max: PAYLOAD_BYTES })),
      pieces: fc.oneof(fc.integer({ min: 1, max: 20 }), fc.integer({ min: 100, max: 300 })),
      wait: fc.boolean(),
      read: fc.boolean(),
    });
    fc.assert(
      fc.property(fc.array(frame, { maxLength: 30 }), (frames) => {
        start();
        let sent = 0;
        let waiting = 0;
        const settle = (): void => {
          guest.turns();
          guest.take();
          guest.takeSent();
          waiting = 0;
        };
        for (const { bytes, pieces, wait, read } of frames) {
          if (waiting === FRAMES_MAX || room() < bytes || read) settle();
          if (read) drain(sent);
          if (room() < bytes) continue;
          const index = waiting++;
          fill(index, sent, bytes);
          guest.sendFrame(index, bytes, pieces);
          sent += bytes;
          if (!wait) settle();
        }
        settle();
        drain(sent);
        guest.close();
      }),
      { numRuns: 30 },
    );
    start();
  });
});

describe('what is not lent', () => {
  const cases: readonly [string, (frame: Uint8Array, header: DataView) => void][] = [
    ['a frame that is no TCP segment', (frame) => frame.set([17], 23)],
    ['a fragment', (frame) => frame.set([0x20], 20)],
    ['a segment whose checksum is to be verified', (_frame, header) => vnet.clear(header, 0)],
  ];
  for (const [name, change] of cases) {
    it(`is ${name}`, () => {
      start();
      const front = new FrontEnd(1, { lends: true });
      front.negotiate();
      front.start();
      const frame = frameOf(12_000);
      frame.set([0x08, 0x00, 0x45, 0, 0x2e, 0xd2, 0, 0, 0, 0, 64, 6], 12);
      frame.set([0x50, 0x10], 14 + 20 + 12);
      const bytes = withHeader(frame, [1, 0, 0, 0, 0, 0, 34, 0, 16, 0]);
      front.guestSends(bytes, 0x1_0000);
      front.receive();
      assert.notEqual(front.packets.lent[0], NOT_LENT, 'without the change it is');
      change(bytes.subarray(12), new DataView(bytes.buffer));
      front.guestSends(bytes, 0x1_0000);
      assert.deepEqual(front.receive(), [bytes]);
      assert.equal(front.packets.lent[0], NOT_LENT);
      front.close();
    });
  }
});
