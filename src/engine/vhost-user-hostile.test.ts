import { ftruncateSync } from 'node:fs';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import {
  FrontEnd,
  frameOf,
  GUEST_ADDRESS,
  MEMORY_BYTES,
  messageOf,
  QUEUE_SIZE,
  u32,
  withHeader,
} from './vhost-user-front-end-fixture.test.ts';

describe('a vhost-user connection to one who means harm', () => {
  it('survives whatever is sent and written, in whatever order', () => {
    const ringNumbers = fc.oneof(fc.nat(4), fc.constant(0xffff_ffff));
    const message = fc.record({
      request: fc.oneof(fc.nat(41), fc.constantFrom(8, 9, 10, 11, 12, 13, 18)),
      words: fc.array(fc.oneof(ringNumbers, fc.constantFrom(64, 0x100, 0x1000), fc.integer()), { maxLength: 12 }),
      withDescriptor: fc.boolean(),
      flags: fc.constantFrom(0, 8),
    });
    const write = fc.record({ at: fc.nat(0x6000), value: fc.oneof(fc.nat(0xffff), fc.nat(70)), ring: fc.nat(1) });
    const step = fc.oneof(
      { weight: 1, arbitrary: message },
      { weight: 6, arbitrary: write },
      {
        weight: 3,
        arbitrary: fc.constantFrom(
          'receive',
          'receive whole',
          'transmit',
          'borrow',
          'borrow in vain',
          'show',
          'cut',
          'grow',
          'start',
          'table',
        ),
      },
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 80 }), (steps) => {
        const front = new FrontEnd(2, { lends: true });
        try {
          front.negotiate();
          front.start();
          for (const each of steps) harm(front, each);
        } finally {
          front.close();
        }
      }),
      { numRuns: 150 },
    );
  });
});

type Step =
  | { request: number; words: number[]; withDescriptor: boolean; flags: number }
  | { at: number; value: number; ring: number }
  | string;

function harm(front: FrontEnd, step: Step): void {
  if (typeof step === 'string') {
    act(front, step);
    return;
  }
  if ('request' in step) {
    if (front.gone.length > 0) return;
    const fd = step.withDescriptor ? front.kicks[0] : -1;
    front.send(messageOf(step.request, u32(...step.words), step.flags), fd);
    front.answer();
    return;
  }
  // The indexes of a ring, and what they lead to, are hit more often than other places.
  const { at, value, ring } = step;
  front.view.setUint16((at % 3 === 0 ? front.ringAt(ring) + QUEUE_SIZE * 16 + 2 : at) & ~1, value, true);
}

function receiveWhole(front: FrontEnd): void {
  front.receive();
  for (let packet = 0; packet < front.packets.count; packet++) front.packets.gather(packet);
}

/** Makes frames in the guest's own buffers, shorter than they might be, and sends them unless it is in vain. */
function borrow({ packets, link, frame }: FrontEnd, sends: boolean): void {
  packets.reset();
  for (const bytes of [60_000, 300, 0]) {
    const packet = packets.allocate(65_000);
    if (!link.borrow(packets, packet, 54)) continue;
    packets.trim(packet, bytes);
    link.keepBorrowed(packets, packet);
    frame[0] = packet;
    if (sends && bytes > 0) link.transmit(packets, frame, 1);
  }
  packets.reset();
}

/** A large frame that may have its payload lent, as long as nobody writes there. */
function showSegment(front: FrontEnd): void {
  const frame = frameOf(9000);
  frame.set([0x08, 0x00, 0x45, 0, 0x23, 0x1a, 0, 0, 0, 0, 64, 6], 12);
  frame.set([0x50, 0x10], 14 + 20 + 12);
  if (front.shared.isLost()) return;
  front.bytes.set(withHeader(frame, [1, 0, 0, 0, 0, 0, 34, 0, 16, 0]), 0x1_0000);
  front.drivers[1]!.offer(GUEST_ADDRESS + 0x1_0000, 9012, false);
  front.drivers[1]!.publish();
}

function act(front: FrontEnd, what: string): void {
  if (what === 'receive') front.receive();
  else if (what === 'receive whole') receiveWhole(front);
  else if (what === 'transmit') front.transmit(frameOf(60), frameOf(1500), frameOf(65_000));
  else if (what.startsWith('borrow')) borrow(front, what === 'borrow');
  else if (what === 'show') showSegment(front);
  else if (what === 'cut') ftruncateSync(front.memoryFd, 0x2000);
  else if (what === 'grow') ftruncateSync(front.memoryFd, MEMORY_BYTES);
  else if (front.gone.length > 0) return;
  else if (what === 'table') front.setMemory();
  else front.start(1);
}
