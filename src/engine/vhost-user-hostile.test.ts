import assert from 'node:assert/strict';
import { ftruncateSync, readdirSync } from 'node:fs';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { CHAIN_DESCRIPTORS_MAX, VHOST_USER_QUEUE_SIZE_MAX } from '../base/limits.ts';
import { queueLayout } from '../virtio/driver-queue.ts';
import { DESCRIPTOR_FLAG } from '../virtio/split-ring.ts';
import { REQUEST } from '../virtio/vhost-user-message.ts';
import {
  ALL_FEATURES,
  BUFFERS_AT,
  FrontEnd,
  frameOf,
  GUEST_ADDRESS,
  MEMORY_BYTES,
  messageOf,
  QUEUE_SIZE,
  u32,
  u64,
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

describe('descriptors that a front end sends', () => {
  /** How many are open beside those of `act`'s front end. */
  function left(act: (front: FrontEnd) => void): number {
    const open = (): number => readdirSync('/proc/self/fd').length;
    const before = open();
    const front = new FrontEnd(2);
    try {
      act(front);
    } finally {
      front.close();
    }
    return open() - before;
  }
  const header = messageOf(REQUEST.SET_OWNER, new Uint8Array(0));

  it('are closed where nobody keeps them, whatever they come with', () => {
    const sent = left((front) => {
      front.negotiate();
      front.start();
      for (let request = 0; request < 48 && front.gone.length === 0; request++) {
        if (request === REQUEST.SET_PROTOCOL_FEATURES) continue;
        const payload = new Uint8Array([...u32(1, 0), ...u64(0n, 0n, 0n, 0n)]);
        for (const length of [0, 8, 16, 40]) {
          front.acknowledged(request, payload.subarray(0, length), front.memoryFd);
          front.acknowledged(request, payload.subarray(0, length), front.kicks[0]);
        }
      }
      assert.deepEqual(front.gone, []);
    });
    assert.equal(sent, 0);
  });

  it('are not more than a message may have, though each of its bytes brings one', () => {
    const sent = left((front) => {
      for (const byte of header) if (front.gone.length === 0) front.send(Uint8Array.of(byte), front.memoryFd);
      front.answer();
      assert.deepEqual(front.gone, ['it sent too many descriptors']);
    });
    assert.equal(sent, 0);
  });

  it('are closed with a message that never ends', () => {
    const sent = left((front) => {
      for (const byte of header.subarray(0, 8)) front.send(Uint8Array.of(byte), front.memoryFd);
      front.answer();
      assert.deepEqual(front.gone, []);
    });
    assert.equal(sent, 0);
  });
});

describe('a front end that reads no answers', () => {
  it('is left as soon as one has no room, and nobody waits', () => {
    const front = new FrontEnd();
    try {
      const question = messageOf(REQUEST.GET_FEATURES, new Uint8Array(0));
      for (let sent = 0; front.gone.length === 0; sent++) {
        assert.ok(sent < 100_000, 'its buffer has an end');
        front.send(question);
        front.ready();
      }
      assert.deepEqual(front.gone, ['it does not read our answers']);
    } finally {
      front.close();
    }
  });
});

describe('somebody who does wrong again and again', () => {
  it('is told of a few times, and then now and then', () => {
    const front = new FrontEnd();
    try {
      front.negotiate();
      for (let i = 0; i < 500; i++) {
        const refused = front.acknowledged(REQUEST.SET_VRING_NUM, u32(0, 3));
        assert.equal(refused, 1n);
      }
      assert.ok(front.logged.length >= 20 && front.logged.length < 400, `${front.logged.length} lines`);
    } finally {
      front.close();
    }
  });
});

describe('a guest that offers room for frames crumb by crumb', () => {
  it('has its queue broken by the first frame', () => {
    const front = new FrontEnd(1, { memoryBytes: 4 * MEMORY_BYTES });
    try {
      front.negotiate();
      offerCrumbs(front);
      assert.equal(front.transmit(...Array.from({ length: 256 }, () => frameOf(1500))), 256);
      assert.match(front.logged.join(), /^a queue of pair 0 is broken, .*: more than \d+ descriptors for one frame$/);
      assert.equal(front.transmit(frameOf(60)), 0);
    } finally {
      front.close();
    }
  });

  it('loses what waits for it a turn at a time, where it can not have it in pieces', () => {
    const front = new FrontEnd(1);
    try {
      front.negotiate(ALL_FEATURES & ~(1n << 15n));
      front.start();
      for (let turn = 0; turn < 3; turn++) front.transmit(...Array.from({ length: 200 }, () => frameOf(60)));
      assert.equal(front.link.blocked, true);
      front.guestOffers(BUFFERS_AT, 20);
      front.kick(0);
      for (const unfit of [256, 512, 600]) {
        assert.ok(front.isReady());
        front.receive();
        assert.equal(front.link.unfit, unfit);
      }
      assert.equal(front.link.blocked, false);
    } finally {
      front.close();
    }
  });
});

/** As many chains as there can be, of as many descriptors as there can be, one byte in each chain: all by one indirect table. */
function offerCrumbs(front: FrontEnd): void {
  const { view } = front;
  const size = VHOST_USER_QUEUE_SIZE_MAX;
  const ringAt = MEMORY_BYTES;
  const tableAt = 2 * MEMORY_BYTES;
  const layout = queueLayout(size);
  const describe = (at: number, address: number, bytes: number, flags: number, next: number): void => {
    view.setBigUint64(at, BigInt(address), true);
    view.setUint32(at + 8, bytes, true);
    view.setUint16(at + 12, flags, true);
    view.setUint16(at + 14, next, true);
  };
  const { NEXT, WRITE, INDIRECT } = DESCRIPTOR_FLAG;
  for (let i = 0; i < CHAIN_DESCRIPTORS_MAX - 1; i++) describe(tableAt + 16 * i, GUEST_ADDRESS, 0, NEXT, i + 1);
  describe(tableAt + 16 * (CHAIN_DESCRIPTORS_MAX - 1), GUEST_ADDRESS + 3 * MEMORY_BYTES, 1, WRITE, 0);
  for (let i = 0; i < size; i++) {
    const at = ringAt + layout.descriptors + 16 * i;
    describe(at, GUEST_ADDRESS + tableAt, 16 * CHAIN_DESCRIPTORS_MAX, INDIRECT, 0);
    view.setUint16(ringAt + layout.available + 4 + 2 * i, i, true);
  }
  view.setUint16(ringAt + layout.available + 2, size, true);
  front.request(REQUEST.SET_VRING_NUM, u32(0, size));
  front.setAddresses(0, ringAt, false, layout);
  front.number(REQUEST.SET_VRING_KICK, 0n, front.kicks[0]);
  front.request(REQUEST.SET_VRING_ENABLE, u32(0, 1));
}

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
