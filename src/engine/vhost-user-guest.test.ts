import assert from 'node:assert/strict';
import { ftruncateSync, readdirSync } from 'node:fs';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { REQUEST } from '../virtio/vhost-user-message.ts';
import {
  ALL_FEATURES,
  BUFFERS_AT,
  FrontEnd,
  frameOf,
  MEMORY_BYTES,
  messageOf,
  u32,
  u64,
  withHeader,
} from './vhost-user-front-end-fixture.test.ts';

let vm: FrontEnd;

describe('a vhost-user connection', () => {
  beforeEach(() => {
    vm = new FrontEnd(2);
  });
  afterEach(() => vm.close());

  it('tells what it offers', () => {
    assert.equal(vm.number(REQUEST.GET_FEATURES)! & ALL_FEATURES, ALL_FEATURES);
    assert.equal(vm.number(REQUEST.GET_PROTOCOL_FEATURES), 0x1_a01fn);
    assert.equal(vm.number(REQUEST.GET_QUEUE_NUM), 4n);
    assert.equal(vm.number(REQUEST.GET_MAX_MEM_SLOTS), 64n);
  });

  it('carries frames both ways, with their virtio-net headers', () => {
    vm.negotiate();
    vm.start();
    assert.deepEqual(vm.guest.offload, { checksum: true, tcpSegmentation: true, udpSegmentation: true });
    vm.receive();
    const checksum = [1, 0, 0, 0, 0, 0, 34, 0, 16, 0, 9, 9];
    vm.guestSends(withHeader(frameOf(60), checksum), BUFFERS_AT);
    assert.equal(vm.isReady(), true);
    assert.deepEqual(vm.receive(), [withHeader(frameOf(60), checksum.with(10, 0).with(11, 0))]);
    assert.deepEqual([vm.drivers[1]!.take(), vm.wasCalled(1), vm.isReady()], [0, true, false]);
    vm.guestOffers(BUFFERS_AT, 2048);
    assert.equal(vm.transmit(frameOf(1514, 3)), 1);
    assert.deepEqual([vm.drivers[0]!.take() >= 0, vm.drivers[0]!.takenBytes, vm.wasCalled(0)], [true, 1526, true]);
    const expected = withHeader(frameOf(1514, 3), [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
    assert.deepEqual(vm.bytes.slice(BUFFERS_AT, BUFFERS_AT + 1526), expected);
  });

  it('takes and gives the shorter header of a guest with neither VERSION_1 nor MRG_RXBUF', () => {
    vm.negotiate(ALL_FEATURES & ~((1n << 32n) | (1n << 15n)));
    vm.start();
    const header = [1, 0, 0, 0, 0, 0, 34, 0, 16, 0];
    vm.guestSends(Uint8Array.from([...header, ...frameOf(60)]), BUFFERS_AT);
    assert.deepEqual(vm.receive(), [withHeader(frameOf(60), header)]);
    vm.guestOffers(BUFFERS_AT, 2048);
    assert.equal(vm.transmit(frameOf(1514, 3)), 1);
    assert.deepEqual(vm.bytes.slice(BUFFERS_AT, BUFFERS_AT + 1524), withHeader(frameOf(1514, 3)).subarray(2));
  });

  it('merges buffers for a large frame, and cuts it into as many as it needs', () => {
    vm.negotiate();
    vm.start();
    for (let i = 0; i < 5; i++) vm.guestOffers(BUFFERS_AT + 4000 * i, 1000);
    assert.equal(vm.transmit(frameOf(2500), frameOf(700, 2)), 2);
    const taken = Array.from({ length: 4 }, () => (vm.drivers[0]!.take() >= 0 ? vm.drivers[0]!.takenBytes : -1));
    assert.deepEqual(taken, [1000, 1000, 512, 712]);
    assert.deepEqual(vm.bytes[BUFFERS_AT + 10], 3);
    const parts = [0, 1, 2].map((i) => [...vm.bytes.slice(BUFFERS_AT + 4000 * i, BUFFERS_AT + 4000 * i + taken[i]!)]);
    assert.deepEqual(parts.flat().slice(12), [...frameOf(2500)]);
  });

  it('lets frames wait for buffers, and sends them in order when there are some', () => {
    vm.negotiate();
    vm.start();
    vm.receive();
    assert.equal(vm.transmit(frameOf(100, 1), frameOf(100, 2), frameOf(3000, 3)), 3);
    assert.deepEqual([vm.link.blocked, vm.isReady()], [true, false]);
    vm.guestOffers(BUFFERS_AT, 200);
    assert.equal(vm.isReady(), true, 'it has asked to be kicked');
    vm.receive();
    const first = frameOf(1, 1)[0];
    assert.deepEqual([vm.drivers[0]!.take() >= 0, vm.bytes[BUFFERS_AT + 12], vm.link.blocked], [true, first, true]);
    for (let i = 0; i < 8; i++) vm.guestOffers(BUFFERS_AT + i * 512, 512);
    vm.receive();
    assert.deepEqual([vm.link.blocked, vm.isReady()], [false, true], 'whoever waits for that is told');
    assert.equal(vm.bytes[BUFFERS_AT + 12], frameOf(1, 2)[0]);
    assert.equal(vm.bytes[BUFFERS_AT + 512 + 10], 6, 'the third takes six');
    while (vm.transmit(frameOf(60_000), frameOf(60_000)) === 2);
    assert.ok(vm.link.refused > 0, 'but not without bound');
  });

  it('sends by the pair that a flow came by, unless the guest has stopped that', () => {
    vm.negotiate();
    for (const pair of [0, 1]) {
      vm.start(0, true, pair);
      for (let i = 0; i < 4; i++) vm.guestOffers(BUFFERS_AT + (4 * pair + i) * 2048, 2048, pair);
    }
    const [first, second] = vm.guest.links;
    const taken = (): boolean[] => [0, 2].map((ring) => vm.drivers[ring]!.take() >= 0);
    for (const [link, pair] of [
      [first, 0],
      [second, 1],
    ] as const) {
      vm.guestSends(withHeader(frameOf(60)), 0xe_0000, pair);
      assert.equal(vm.receive(link).length, 1);
      assert.equal(vm.transmitBy(first!, frameOf(60)), 1);
      assert.deepEqual(taken(), [pair === 0, pair === 1]);
    }
    vm.request(REQUEST.SET_VRING_ENABLE, u32(2, 0));
    assert.equal(vm.transmitBy(first!, frameOf(60)), 1);
    assert.deepEqual(taken(), [true, false]);
  });

  it('tells bridges of a guest that has come from elsewhere', () => {
    vm.negotiate();
    vm.start();
    vm.receive();
    assert.equal(vm.acknowledged(REQUEST.SEND_RARP, Uint8Array.of(0x52, 0x54, 0, 1, 2, 3, 0, 0)), 0n);
    assert.equal(vm.isReady(), true);
    vm.guestSends(withHeader(frameOf(60)), BUFFERS_AT);
    const [announcement, sent, ...others] = vm.receive();
    const address = [0x52, 0x54, 0, 1, 2, 3];
    const body = [0, 1, 8, 0, 6, 4, 0, 3, ...address, 0, 0, 0, 0, ...address, 0, 0, 0, 0];
    const frame = [...Array(6).fill(255), ...address, 0x80, 0x35, ...body, ...Array(18).fill(0)];
    assert.deepEqual([...announcement!], [...withHeader(Uint8Array.from(frame))]);
    assert.deepEqual([sent, others], [withHeader(frameOf(60)), []]);
  });

  it('drops what the guest may not send, and goes on', () => {
    vm.negotiate((1n << 32n) | (1n << 29n));
    vm.start();
    const good = frameOf(60, 5);
    const bad = [
      withHeader(good, [1, 0, 0, 0, 0, 0, 34, 0, 16, 0]),
      withHeader(good, [0, 1, 0, 0, 100, 0]),
      withHeader(frameOf(13)),
      new Uint8Array(11),
      withHeader(frameOf(65_550)),
    ];
    let at = BUFFERS_AT;
    for (const bytes of [...bad, withHeader(good)]) {
      vm.guestSends(bytes, at);
      at += bytes.length;
    }
    assert.deepEqual(vm.receive(), [withHeader(good)]);
    assert.deepEqual([vm.link.skipped, vm.logged], [bad.length, []]);
    assert.equal(Array.from(bad, () => vm.drivers[1]!.take()).includes(-1), false, 'all are given back');
  });

  it('breaks a queue, tells why, and starts it anew', () => {
    vm.negotiate();
    vm.start();
    vm.drivers[1]!.offer(0x5000, 60, false);
    vm.drivers[1]!.publish();
    assert.deepEqual(vm.receive(), []);
    assert.match(vm.logged.join(), /a queue of pair 0 is broken.*a buffer outside of the memory/);
    assert.deepEqual([vm.receive(), vm.logged.length, vm.gone], [[], 1, []]);
    assert.equal(vm.stop(1), 0);
    vm.start();
    vm.guestSends(withHeader(frameOf(60)), BUFFERS_AT);
    assert.equal(vm.receive().length, 1);
  });

  it('goes on where it was when rings are stopped and started', () => {
    vm.negotiate();
    vm.start();
    for (let i = 0; i < 5; i++) vm.guestSends(withHeader(frameOf(60)), BUFFERS_AT);
    assert.equal(vm.receive().length, 5);
    assert.equal(vm.stop(1), 5);
    vm.guestSends(withHeader(frameOf(61)), BUFFERS_AT);
    assert.deepEqual(vm.receive(), []);
    vm.start(5);
    assert.equal(vm.isReady(), true);
    assert.equal(vm.receive()[0]?.length, 73);
  });

  it('asks for no kick when somebody looks all the time, and for one again behind that', () => {
    vm.negotiate();
    vm.start();
    vm.receive();
    vm.guest.setPolled(true);
    for (const size of [60, 61]) {
      vm.guestSends(withHeader(frameOf(size)), BUFFERS_AT);
      assert.deepEqual(vm.receive(), [withHeader(frameOf(size))]);
      assert.equal(vm.isReady(), false);
    }
    vm.guestSends(withHeader(frameOf(62)), BUFFERS_AT);
    assert.equal(vm.isReady(), false, 'it has not kicked');
    vm.guest.setPolled(false);
    assert.equal(vm.receive().length, 1);
    vm.guestSends(withHeader(frameOf(63)), BUFFERS_AT);
    assert.equal(vm.isReady(), true);
  });

  it('is looked at all the time where a queue has no kicks', () => {
    vm.negotiate();
    vm.start();
    assert.equal(vm.guest.needsPolling, false);
    vm.number(REQUEST.SET_VRING_KICK, 0x101n);
    assert.equal(vm.guest.needsPolling, true);
    vm.receive();
    vm.guestSends(withHeader(frameOf(60)), BUFFERS_AT);
    assert.equal(vm.isReady(), false);
    assert.deepEqual(vm.receive(), [withHeader(frameOf(60))]);
    vm.number(REQUEST.SET_VRING_KICK, 1n, vm.kicks[1]);
    assert.equal(vm.guest.needsPolling, false);
  });

  it('gives chains back in the order in which they were taken, by which a successor knows where to go on', () => {
    vm.negotiate();
    vm.start();
    for (let i = 0; i < 5; i++) vm.guestSends(withHeader(frameOf(60 + i)), BUFFERS_AT + i * 512);
    assert.equal(vm.receive().length, 5);
    for (let i = 0; i < 5; i++) vm.guestOffers(BUFFERS_AT + 0x1_0000 + i * 512, 100);
    vm.transmit(frameOf(60), frameOf(150), frameOf(60));
    for (const [ring, count] of [
      [1, 5],
      [0, 4],
    ] as const) {
      const ids = Array.from({ length: count }, () => vm.drivers[ring]!.take());
      assert.deepEqual(
        ids,
        ids.toSorted((a, b) => a - b),
        `ring ${ring}`,
      );
      assert.equal(ids.includes(-1), false);
    }
  });

  it('discards what is sent by a queue that was disabled, so that nobody waits for it', () => {
    vm.negotiate();
    vm.start();
    vm.request(REQUEST.SET_VRING_ENABLE, u32(1, 0));
    vm.guestSends(withHeader(frameOf(62)), BUFFERS_AT);
    assert.deepEqual([vm.isReady(), vm.receive()], [true, []]);
    assert.ok(vm.drivers[1]!.take() >= 0, 'it is given back');
    vm.request(REQUEST.SET_VRING_ENABLE, u32(1, 1));
    vm.guestSends(withHeader(frameOf(63)), BUFFERS_AT);
    assert.deepEqual(vm.receive(), [withHeader(frameOf(63))]);
    assert.equal(vm.link.skipped, 0);
  });

  it('lets frames wait that are sent before a queue is enabled', () => {
    vm.negotiate();
    vm.start();
    vm.stop(1);
    vm.request(REQUEST.SET_VRING_ENABLE, u32(1, 0));
    vm.guestSends(withHeader(frameOf(62)), BUFFERS_AT);
    vm.number(REQUEST.SET_VRING_KICK, 1n, vm.kicks[1]);
    assert.deepEqual(vm.receive(), []);
    vm.request(REQUEST.SET_VRING_ENABLE, u32(1, 1));
    assert.deepEqual(vm.receive(), [withHeader(frameOf(62))]);
  });

  it('keeps frames that wait for a queue which is enabled once more', () => {
    vm.negotiate();
    vm.start();
    vm.transmit(frameOf(60));
    vm.request(REQUEST.SET_VRING_ENABLE, u32(0, 1));
    assert.equal(vm.link.blocked, true);
  });

  it('runs on when its calls go elsewhere', () => {
    vm.negotiate();
    vm.start();
    vm.receive();
    vm.transmit(frameOf(60));
    assert.equal(vm.link.blocked, true);
    vm.number(REQUEST.SET_VRING_CALL, 0n, vm.calls[1]);
    vm.guestOffers(BUFFERS_AT, 2048);
    assert.equal(vm.isReady(), true, 'it is to kick still');
    vm.receive();
    assert.deepEqual([vm.link.blocked, vm.wasCalled(0), vm.wasCalled(1)], [false, false, true]);
    vm.drivers[1]!.offer(0x5000, 60, false);
    vm.drivers[1]!.publish();
    vm.receive();
    vm.number(REQUEST.SET_VRING_CALL, 1n, vm.calls[1]);
    vm.receive();
    assert.equal(vm.logged.length, 1, 'a broken queue stays so');
  });

  it('is set up again after a reset', () => {
    vm.negotiate();
    vm.start();
    vm.number(REQUEST.SET_STATUS, 15n);
    assert.equal(vm.number(REQUEST.GET_STATUS), 15n);
    vm.guestSends(withHeader(frameOf(60)), BUFFERS_AT);
    assert.equal(vm.acknowledged(REQUEST.RESET_DEVICE, new Uint8Array(0)), 0n);
    assert.deepEqual([vm.receive(), vm.stop(1), vm.number(REQUEST.GET_STATUS)], [[], 0, 0n]);
    vm.start();
    vm.guestSends(withHeader(frameOf(61)), BUFFERS_AT);
    assert.deepEqual(vm.receive(), [withHeader(frameOf(61))]);
  });

  it('survives a guest that takes its memory away under running queues', () => {
    vm.negotiate();
    vm.start();
    vm.guestSends(withHeader(frameOf(60)), BUFFERS_AT);
    vm.guestOffers(BUFFERS_AT, 2048);
    ftruncateSync(vm.memoryFd, 4096);
    vm.receive();
    vm.transmit(frameOf(60));
    ftruncateSync(vm.memoryFd, 0);
    vm.receive();
    vm.transmit(frameOf(60));
    assert.equal(vm.setMemory(), 1n, 'the file is too short now');
    ftruncateSync(vm.memoryFd, MEMORY_BYTES);
    assert.equal(vm.setMemory(), 0n);
    vm.start();
    vm.receive();
  });

  it('takes regions one by one, and breaks queues in those that go', () => {
    vm.negotiate();
    vm.start();
    const region = u64(0n, 0x4000_0000n, BigInt(MEMORY_BYTES), 0x7000_0000_0000n, 0n);
    assert.equal(vm.acknowledged(REQUEST.ADD_MEM_REG, region, vm.memoryFd), 0n);
    assert.equal(vm.acknowledged(REQUEST.ADD_MEM_REG, region, vm.memoryFd), 0n, 'QEMU 7.2 does so for each pair');
    const overlapping = u64(0n, 0x4000_1000n, BigInt(MEMORY_BYTES), 0x7000_0010_0000n, 0n);
    assert.equal(vm.acknowledged(REQUEST.ADD_MEM_REG, overlapping, vm.memoryFd), 1n);
    vm.drivers[1]!.offer(0x4000_0000 + BUFFERS_AT, 72, false);
    vm.drivers[1]!.publish();
    assert.equal(vm.receive().length, 1);
    assert.equal(vm.acknowledged(REQUEST.REM_MEM_REG, region), 0n);
    assert.equal(vm.acknowledged(REQUEST.REM_MEM_REG, region), 0n);
    vm.drivers[1]!.offer(0x4000_0000 + BUFFERS_AT, 72, false);
    vm.drivers[1]!.publish();
    assert.equal(vm.receive().length, 0);
    assert.match(vm.logged.at(-1)!, /outside of the memory/);
  });

  it('tells the front end what can not be, where that asks', () => {
    vm.negotiate();
    for (const [request, payload, fd] of [
      [REQUEST.SET_FEATURES, u64(1n << 34n)],
      [REQUEST.SET_VRING_NUM, u32(0, 100)],
      [REQUEST.SET_VRING_NUM, u32(0, 8192)],
      [REQUEST.NET_SET_MTU, u64(67n)],
      [REQUEST.NET_SET_MTU, u64(65_536n)],
      [REQUEST.SET_VRING_ENABLE, u32(4, 1)],
      [REQUEST.SET_VRING_KICK, u64(0n)],
      [REQUEST.SET_VRING_KICK, u64(0n), vm.memoryFd],
      [REQUEST.SET_MEM_TABLE, u64(2n), vm.memoryFd],
      [REQUEST.SET_LOG_BASE, u64(0n, 0n), vm.memoryFd],
      [999, new Uint8Array(0)],
    ] as const) {
      assert.equal(vm.acknowledged(request, payload, fd), 1n, `${request}`);
    }
    assert.deepEqual(vm.gone, []);
  });

  for (const [what, bytes] of [
    ['another version', u32(1, 2, 0)],
    ['a reply', u32(1, 5, 0)],
    ['a payload without end', u32(1, 1, 0xffff_ffff)],
    ['too short a payload', messageOf(REQUEST.SET_FEATURES, u32(1))],
    ['what was not asked for an answer', messageOf(999, new Uint8Array(0))],
  ] as const) {
    it(`ends with ${what}`, () => {
      vm.send(bytes);
      vm.answer();
      assert.equal(vm.gone.length, 1);
      assert.notEqual(vm.gone[0], '');
    });
  }

  it('reads a message that comes byte by byte, and several at once', () => {
    const message = messageOf(REQUEST.GET_QUEUE_NUM, new Uint8Array(0));
    for (const byte of message.subarray(0, -1)) {
      vm.send(Uint8Array.of(byte));
      assert.equal(vm.answer(), undefined);
    }
    vm.send(message.subarray(-1));
    assert.equal(vm.answer()!.getUint8(0), 4);
    vm.send(new Uint8Array([...messageOf(REQUEST.SET_OWNER, new Uint8Array(0)), ...message]));
    assert.equal(vm.answer()!.getUint8(0), 4);
  });

  it('leaves no descriptor open', () => {
    const open = (): number => readdirSync('/proc/self/fd').length;
    vm.close();
    const before = open();
    const other = new FrontEnd(2);
    other.negotiate();
    other.start();
    other.start();
    other.acknowledged(REQUEST.SET_FEATURES, u64(0n), other.memoryFd);
    other.stop(0);
    other.close();
    assert.equal(open(), before);
  });
});
