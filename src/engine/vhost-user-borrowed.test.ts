/** Room that a virtual machine lends: from sockets of the real kernel to where it reads, in buffers of any shape. */
import assert from 'node:assert/strict';
import { ftruncateSync } from 'node:fs';
import { afterEach, describe, it } from 'node:test';
import fc from 'fast-check';
import { CaptureLink } from '../link/capture.ts';
import type { Packets } from '../packet/packets.ts';
import * as vnet from '../wire/vnet-header.ts';
import {
  ALL_FEATURES,
  BUFFERS_AT,
  FrontEnd,
  frameOf,
  GUEST_ADDRESS,
  MEMORY_BYTES,
  QUEUE_SIZE,
} from './vhost-user-front-end-fixture.test.ts';
import { StreamGuest, type StreamGuestOptions } from './vhost-user-stream-fixture.test.ts';

const VERSION_1 = 1n << 32n;
const MRG_RXBUF = 1n << 15n;
const HEAD_BYTES = 54;
const INDIRECT = 4;

describe('room in buffers of a guest', () => {
  // The first buffer holds the virtio-net header at least.
  const chain = fc
    .tuple(fc.integer({ min: 12, max: 3000 }), fc.array(fc.integer({ min: 1, max: 3000 }), { maxLength: 5 }))
    .map(([first, others]) => [first, ...others]);
  const frame = fc.record({
    bytes: fc.integer({ min: HEAD_BYTES + 1, max: 12_000 }),
    spare: fc.oneof(fc.constant(0), fc.integer({ min: 0, max: 12_000 })),
    fate: fc.oneof({ weight: 6, arbitrary: fc.constant('sent') }, fc.constantFrom('forgotten', 'not made', 'whole')),
  });
  const headers = [
    ['12 bytes of header, merged', ALL_FEATURES],
    ['12 bytes of header, in one', ALL_FEATURES & ~MRG_RXBUF],
    ['10 bytes of header', ALL_FEATURES & ~(VERSION_1 | MRG_RXBUF)],
  ] as const;
  for (const [name, features] of headers) {
    it(`has frames as they were made: ${name}`, () => {
      const scale = (features & MRG_RXBUF) === 0n ? 4 : 1;
      fc.assert(
        fc.property(fc.array(chain, { maxLength: 40 }), fc.array(frame, { maxLength: 10 }), (chains, frames) => {
          const front = new FrontEnd(1, { lends: true });
          try {
            front.negotiate(features);
            front.start();
            const scaled = chains.map((sizes) => sizes.map((bytes) => bytes * scale));
            const offered = offer(front, scaled);
            const sent = send(front, frames);
            front.packets.reset();
            assert.deepEqual(
              received(front, offered, (features & MRG_RXBUF) !== 0n || (features & VERSION_1) !== 0n),
              sent,
            );
          } finally {
            front.close();
          }
        }),
        { numRuns: 40 },
      );
    });
  }
});

describe('a queue that breaks where room is looked for', () => {
  it('is told of, and sends nothing more', () => {
    const front = new FrontEnd(1, { lends: true });
    front.negotiate();
    front.start();
    offer(front, [[1500]]);
    front.guestOffers(BUFFERS_AT + 0x1000, 1500);
    // The second entry of the available ring.
    front.view.setUint16(front.ringAt(0) + QUEUE_SIZE * 16 + 4 + 2, 999, true);
    assert.equal(front.borrow(frameOf(4000), HEAD_BYTES), -1);
    assert.match(front.logged.join(), /broken.*descriptor 999 of a queue of 64/);
    assert.equal(front.transmit(frameOf(60)), 0);
    front.close();
  });
});

/** What is offered, by its descriptor: the buffers of a chain. */
type Offered = Map<number, readonly { readonly at: number; readonly bytes: number }[]>;

function offer(front: FrontEnd, chains: readonly (readonly number[])[]): Offered {
  const offered: Offered = new Map();
  let at = BUFFERS_AT;
  for (const sizes of chains) {
    const table = at;
    at += 16 * sizes.length;
    const buffers = sizes.map((bytes) => {
      const buffer = { at, bytes };
      at += bytes;
      return buffer;
    });
    at = (at + 15) & ~15;
    if (at > MEMORY_BYTES) break;
    for (const [i, buffer] of buffers.entries()) {
      front.view.setBigUint64(table + 16 * i, BigInt(GUEST_ADDRESS + buffer.at), true);
      front.view.setUint32(table + 16 * i + 8, buffer.bytes, true);
      front.view.setUint16(table + 16 * i + 12, i === buffers.length - 1 ? 2 : 3, true);
      front.view.setUint16(table + 16 * i + 14, i + 1, true);
    }
    const id = front.drivers[0]!.offer(GUEST_ADDRESS + table, 16 * buffers.length, false);
    front.view.setUint16(front.ringAt(0) + 16 * id + 12, INDIRECT, true);
    offered.set(id, buffers);
  }
  front.drivers[0]!.publish();
  return offered;
}

/** Makes frames and sends them, one vector. Returns those that the guest must have. */
function send(front: FrontEnd, frames: readonly { bytes: number; spare: number; fate: string }[]): Uint8Array[] {
  const { packets, link } = front;
  const sent: Uint8Array[] = [];
  let count = 0;
  for (const [i, { bytes, spare, fate }] of frames.entries()) {
    const made = fate === 'not made' ? new Uint8Array(0) : frameOf(bytes, i);
    const packet = fate === 'whole' ? -1 : front.borrow(made, Math.min(HEAD_BYTES, made.length), bytes + spare);
    if (packet === -1 || fate !== 'sent') continue;
    front.frame[count++] = packet;
    sent.push(made);
  }
  assert.equal(link.transmit(packets, front.frame, count), count);
  return sent;
}

/** The frames that the guest finds in its buffers; one that has none of them is not there. */
function received(front: FrontEnd, offered: Offered, hasCount: boolean): Uint8Array[] {
  const driver = front.drivers[0]!;
  const headerBytes = hasCount ? 12 : 10;
  const frames: Uint8Array[] = [];
  let left = 0;
  let frame: number[] = [];
  for (let id = driver.take(); id >= 0; id = driver.take()) {
    const bytes: number[] = [];
    for (const buffer of offered.get(id)!) {
      bytes.push(
        ...front.bytes.subarray(buffer.at, buffer.at + Math.min(buffer.bytes, driver.takenBytes - bytes.length)),
      );
    }
    if (bytes.length === 0) continue;
    assert.equal(bytes.length, driver.takenBytes);
    if (left === 0) {
      frame = [];
      left = hasCount ? vnet.bufferCount(new DataView(Uint8Array.from(bytes).buffer), 0) : 1;
    }
    frame.push(...bytes);
    if (--left === 0) frames.push(Uint8Array.from(frame.slice(headerBytes)));
  }
  assert.equal(driver.broken, false);
  assert.equal(left, 0);
  return frames;
}

let guest: StreamGuest;
let vectors = 0;
let position = 0;

function start(options: StreamGuestOptions = {}): void {
  guest = new StreamGuest(options);
  vectors = 0;
  position = 0;
  const { peekVector } = guest.sys;
  const counting = (...args: Parameters<typeof peekVector>): number => {
    vectors++;
    return peekVector(...args);
  };
  Object.defineProperty(guest.sys, 'peekVector', { value: counting });
  guest.onPayload = (bytes) => {
    for (const [i, byte] of bytes.entries()) if (byte !== byteAt(position + i)) assert.fail(`byte ${position + i}`);
    position += bytes.length;
  };
}

function byteAt(at: number): number {
  return (at * 31 + (at >> 8) * 7 + (at >> 16)) & 0xff;
}

/** The host sends what follows, as much as its socket takes. Returns where the stream ends then. */
function hostSends(from: number, bytes: number): number {
  return from + Math.max(0, guest.hostSends(Uint8Array.from({ length: bytes }, (_, i) => byteAt(from + i))));
}

/** The guest reads, acknowledges and offers its buffers again until all has come. */
function takeAll(to: number): void {
  const until = guest.sys.nowUs() + 10_000_000;
  while (position < to && guest.sys.nowUs() < until) {
    guest.engine.turn(100);
    if (guest.take() > 0) guest.acknowledge();
    guest.takeSent();
  }
  guest.turns();
  assert.equal(position, to);
}

describe('a stream towards a guest', () => {
  afterEach(() => guest.close());

  it('is put to where the guest reads it once it is known to be large', () => {
    start();
    takeAll(hostSends(0, 100));
    takeAll(hostSends(100, 1000));
    assert.equal(vectors, 0);
    let end = 1100;
    for (let i = 0; i < 20; i++) {
      end = hostSends(end, 150_000);
      takeAll(end);
    }
    assert.ok(vectors > 20);
    takeAll(hostSends(end, 1));
  });

  it('is put there by whichever pair of queues it leaves by', () => {
    start({ pairs: 2 });
    for (let i = 0, end = 0; i < 10; i++) {
      end = hostSends(end, 150_000);
      takeAll(end);
    }
    assert.ok(vectors > 10);
  });

  it('is every byte of it, however few buffers the guest has', () => {
    const step = fc.record({ bytes: fc.integer({ min: 1, max: 200_000 }), takes: fc.boolean(), turns: fc.nat(3) });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 20 }), (steps) => {
        start();
        let end = 0;
        for (const { bytes, takes, turns } of steps) {
          end = hostSends(end, bytes);
          for (let i = 0; i < turns; i++) guest.engine.turn();
          if (takes && guest.take() > 0) guest.acknowledge();
        }
        takeAll(end);
        guest.close();
      }),
      { numRuns: 20 },
    );
    start();
  });

  it('is copied where it is captured', () => {
    let captured = -1;
    const sink = {
      received: () => {},
      transmitted: (packets: Packets, packet: number) => {
        if (captured < 0) return;
        const start = packets.start[packet]! + HEAD_BYTES;
        const bytes = packets.bytes.subarray(start, start + Math.max(0, packets.length[packet]! - HEAD_BYTES));
        for (const [i, byte] of bytes.entries()) assert.equal(byte, byteAt(captured + i));
        captured += bytes.length;
      },
      turnEnded: () => {},
    };
    start({ around: (link) => new CaptureLink(link, sink) });
    captured = 0;
    let end = 0;
    for (let i = 0; i < 5; i++) {
      end = hostSends(end, 100_000);
      takeAll(end);
    }
    assert.deepEqual([captured, vectors], [end, 0]);
  });

  it('ends where the guest cuts its memory short, and the engine goes on', () => {
    start();
    let end = 0;
    // Until the next frame is one that room is borrowed for: nobody touches the memory before that.
    while (Math.max(...guest.engine.tcp.columns.pulledBytes) < 20_000) {
      end = hostSends(end, 100_000);
      takeAll(end);
    }
    guest.onPayload = () => {};
    ftruncateSync(guest.front.memoryFd, BUFFERS_AT);
    hostSends(end, 100_000);
    const until = guest.sys.nowUs() + 10_000_000;
    while (guest.engine.flows.count > 0 && guest.sys.nowUs() < until) guest.engine.turn(100);
    assert.equal(guest.engine.flows.count, 0);
    assert.equal(guest.engine.turn(), false);
  });
});
