/** That a front end which migrates a guest is told of every page that we write, and that others may write its bitmap with us. */
import assert from 'node:assert/strict';
import { closeSync, ftruncateSync, mkdtempSync, openSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, afterEach, before, beforeEach, describe, it } from 'node:test';
import { Worker } from 'node:worker_threads';
import fc from 'fast-check';
import { mapSharedMemory, type SharedMemory } from '../sys/shared-memory.ts';
import { DirtyLog } from '../virtio/dirty-log.ts';
import { GuestMemory } from '../virtio/guest-memory.ts';
import { REQUEST } from '../virtio/vhost-user-message.ts';
import {
  ALL_FEATURES,
  BUFFERS_AT,
  FrontEnd,
  frameOf,
  GUEST_ADDRESS,
  MEMORY_BYTES,
  u64,
  withHeader,
} from './vhost-user-front-end-fixture.test.ts';

const PAGE_BYTES = 4096;
const LOG_ALL = 1n << 26n;
const EVENT_IDX = 1n << 29n;
/** One bit for each page, up to the last of the memory. */
const LOG_BYTES = (GUEST_ADDRESS + MEMORY_BYTES) / PAGE_BYTES / 8;
/** It begins in the middle of a page of its file. */
const LOG_OFFSET = 24;

let vm: FrontEnd;
let folder: string;
let logFd: number;
let mapped: SharedMemory;
let bitmap: Uint8Array;

before(() => {
  folder = mkdtempSync(join(tmpdir(), 'dirty-log-'));
  logFd = openSync(join(folder, 'log'), 'w+');
  ftruncateSync(logFd, LOG_OFFSET + LOG_BYTES);
  const result = mapSharedMemory(logFd, LOG_OFFSET, LOG_BYTES);
  assert.ok(typeof result !== 'number');
  mapped = result;
  bitmap = new Uint8Array(mapped.windows[0]!.view.buffer);
});
after(() => {
  mapped.unmap();
  closeSync(logFd);
  rmSync(folder, { recursive: true });
});

function setLog(bytes: number = LOG_BYTES): bigint | undefined {
  const place = u64(BigInt(bytes), BigInt(LOG_OFFSET));
  return vm.request(REQUEST.SET_LOG_BASE, place, logFd)?.getBigUint64(0, true);
}

/** As QEMU does when it begins to migrate a machine. */
function beginLog(features: bigint = ALL_FEATURES): void {
  bitmap.fill(0);
  assert.equal(setLog(), 0n, 'it is answered whether or not that was asked for');
  vm.number(REQUEST.SET_FEATURES, features | LOG_ALL);
  for (const ring of [0, 1]) vm.setAddresses(ring, vm.ringAt(ring), true);
}

function endLog(): void {
  vm.number(REQUEST.SET_FEATURES, ALL_FEATURES);
  for (const ring of [0, 1]) vm.setAddresses(ring, vm.ringAt(ring), false);
}

/** Pages of the memory that are marked. */
function marked(): number[] {
  const first = GUEST_ADDRESS / PAGE_BYTES;
  const pages = Array.from({ length: MEMORY_BYTES / PAGE_BYTES }, (_, page) => page);
  return pages.filter((page) => (bitmap[(first + page) >> 3]! & (1 << (page & 7))) !== 0);
}

/** Pages of the memory that `act` changes. */
function changedBy(act: () => void): number[] {
  const was = Buffer.from(vm.bytes);
  act();
  const is = Buffer.from(vm.bytes.buffer);
  const changed: number[] = [];
  for (let at = 0; at < MEMORY_BYTES; at += PAGE_BYTES) {
    if (was.compare(is, at, at + PAGE_BYTES, at, at + PAGE_BYTES) !== 0) changed.push(at / PAGE_BYTES);
  }
  return changed;
}

describe('a guest that is migrated while it runs', () => {
  beforeEach(() => {
    vm = new FrontEnd(1, { lends: true });
    vm.negotiate();
    vm.start();
    vm.receive();
  });
  afterEach(() => vm.close());

  it('has just those pages marked that were written', () => {
    beginLog();
    assert.deepEqual(marked(), []);
    vm.guestOffers(BUFFERS_AT + 2 * PAGE_BYTES - 100, 2048);
    const pages = changedBy(() => vm.transmit(frameOf(1000)));
    // The frame lies across two; the used ring in one of its own.
    assert.deepEqual(pages, [0, BUFFERS_AT / PAGE_BYTES + 1, BUFFERS_AT / PAGE_BYTES + 2]);
    assert.deepEqual(marked(), pages);
  });

  it('has pages marked that payload was put to where the guest reads it', () => {
    beginLog();
    for (let i = 0; i < 6; i++) vm.guestOffers(BUFFERS_AT + 3 * i * PAGE_BYTES + 3000, 2048);
    const pages = changedBy(() => {
      vm.frame[0] = vm.borrow(frameOf(9000), 54, 12_000);
      vm.link.transmit(vm.packets, vm.frame, 1);
    });
    // The last buffer is not full.
    assert.equal(pages.length, 1 + 4 * 2 + 1);
    assert.deepEqual(marked(), pages);
  });

  it('has the used ring marked when it sends, and when it is to kick', () => {
    beginLog();
    vm.guestSends(withHeader(frameOf(60)), BUFFERS_AT);
    const pages = changedBy(() => vm.receive());
    assert.deepEqual([marked(), pages], [pages, [vm.ringAt(1) / PAGE_BYTES]]);
  });

  it('has nothing marked before, and nothing behind', () => {
    bitmap.fill(0);
    setLog();
    vm.guestOffers(BUFFERS_AT, 2048);
    vm.transmit(frameOf(60));
    assert.deepEqual(marked(), []);
    beginLog();
    endLog();
    vm.guestOffers(BUFFERS_AT, 2048);
    vm.transmit(frameOf(60));
    vm.guestSends(withHeader(frameOf(60)), BUFFERS_AT);
    vm.receive();
    assert.deepEqual(marked(), []);
  });

  it('loses no frame that waits when that begins or ends', () => {
    vm.transmit(frameOf(100));
    assert.equal(vm.link.blocked, true);
    beginLog();
    endLog();
    assert.equal(vm.link.blocked, true);
    vm.guestOffers(BUFFERS_AT, 2048);
    vm.receive();
    assert.equal(vm.drivers[0]!.take() >= 0, true);
  });

  it('has every page marked that changes, whatever it does', () => {
    const step = fc.oneof(
      fc.record({ send: fc.integer({ min: 14, max: 9000 }) }),
      fc.record({ offer: fc.integer({ min: 1, max: 9000 }), at: fc.nat(200_000) }),
      fc.record({ transmit: fc.array(fc.integer({ min: 14, max: 20_000 }), { maxLength: 6 }) }),
      fc.constant('receive'),
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), fc.boolean(), (steps, eventIndex) => {
        vm.close();
        vm = new FrontEnd(1);
        const features = eventIndex ? ALL_FEATURES : ALL_FEATURES & ~EVENT_IDX;
        vm.negotiate(features);
        vm.start(0, eventIndex);
        beginLog(features);
        for (const each of steps) {
          bitmap.fill(0);
          const pages = changedBy(() => {
            if (each === 'receive') vm.receive();
            else if (typeof each === 'object' && 'transmit' in each)
              vm.transmit(...each.transmit.map((n) => frameOf(n)));
          });
          const known = new Set(marked());
          assert.deepEqual(
            pages.filter((page) => !known.has(page)),
            [],
          );
          if (typeof each !== 'object') continue;
          if ('send' in each && vm.drivers[1]!.room > 0) vm.guestSends(withHeader(frameOf(each.send)), 0xe_0000);
          if ('offer' in each && vm.drivers[0]!.room > 0) vm.guestOffers(BUFFERS_AT + each.at, each.offer);
        }
        assert.deepEqual(vm.logged, []);
      }),
      { numRuns: 60 },
    );
  });

  it('is refused a log that can not be', () => {
    for (const bytes of [0, LOG_BYTES + 1, 2 ** 40, 2 ** 63]) {
      const place = u64(BigInt(bytes), BigInt(LOG_OFFSET));
      assert.equal(vm.acknowledged(REQUEST.SET_LOG_BASE, place, logFd), 1n, `${bytes}`);
    }
    assert.equal(vm.acknowledged(REQUEST.SET_LOG_BASE, u64(64n, 2n ** 60n), logFd), 1n);
    assert.equal(vm.acknowledged(REQUEST.SET_LOG_BASE, u64(64n, 0n), vm.kicks[0]), 1n);
    assert.equal(vm.acknowledged(REQUEST.SET_LOG_BASE, u64(64n, 0n)), 1n, 'no descriptor');
    assert.equal(vm.acknowledged(REQUEST.SET_LOG_FD, new Uint8Array(0), vm.kicks[0]), 0n);
    assert.deepEqual(vm.gone, []);
  });

  it('goes on with a log that is too small, or cut short, and says so', () => {
    setLog(64);
    vm.number(REQUEST.SET_FEATURES, ALL_FEATURES | LOG_ALL);
    vm.guestOffers(BUFFERS_AT, 2048);
    vm.transmit(frameOf(60));
    assert.deepEqual(vm.logged, []);
    setLog();
    assert.match(vm.logged.join(), /not whole.*beyond its end/);
    ftruncateSync(logFd, 0);
    vm.guestOffers(BUFFERS_AT, 2048);
    vm.transmit(frameOf(60));
    ftruncateSync(logFd, LOG_OFFSET + LOG_BYTES);
    setLog();
    assert.match(vm.logged.join(), /cut short/);
    assert.deepEqual(vm.gone, []);
  });

  it('is refused a log that was not negotiated', () => {
    vm.number(REQUEST.SET_PROTOCOL_FEATURES, 1n << 3n);
    assert.equal(vm.acknowledged(REQUEST.SET_LOG_BASE, u64(64n, 0n), logFd), 1n);
  });
});

/** Puts the odd bits of each byte in, as another back end of the same machine does. */
const OTHER = `
const { workerData: { module, fd, bytes, rounds }, parentPort } = require('node:worker_threads');
import(module).then(({ mapSharedMemory }) => {
  const bitmap = new Uint8Array(mapSharedMemory(fd, 0, bytes).windows[0].view.buffer);
  parentPort.postMessage('ready');
  parentPort.once('message', () => {
    for (let round = 1; round <= rounds; round++) {
      while (Atomics.load(bitmap, 0) !== round);
      for (let at = 1; at < bytes; at++) for (let bit = 1; bit < 8; bit += 2) Atomics.or(bitmap, at, 1 << bit);
      Atomics.add(bitmap, 0, 100);
    }
  });
});`;

describe('a log of written pages that others write, too', () => {
  it('loses no mark of theirs or ours', async () => {
    const bytes = 4096;
    const rounds = 50;
    const fd = openSync(join(folder, 'shared'), 'w+');
    ftruncateSync(fd, bytes);
    const shared = mapSharedMemory(fd, 0, bytes);
    assert.ok(typeof shared !== 'number');
    const bits = new Uint8Array(shared.windows[0]!.view.buffer);
    const log = new DirtyLog(shared, new GuestMemory(mapSharedMemory));
    const module = new URL('../sys/shared-memory.js', import.meta.url).href;
    const other = new Worker(OTHER, { eval: true, workerData: { module, fd, bytes, rounds } });
    await new Promise((resolve) => other.once('message', resolve));
    other.postMessage('go');
    for (let round = 1; round <= rounds; round++) {
      bits.fill(0, 1);
      Atomics.store(bits, 0, round);
      for (let page = 8; page < bytes * 8; page += 2) log.mark(page * PAGE_BYTES, 1);
      while (Atomics.load(bits, 0) !== round + 100);
      assert.equal(
        bits.subarray(1).every((byte) => byte === 0xff),
        true,
        `round ${round}`,
      );
    }
    await new Promise((resolve) => other.once('exit', resolve));
    log.close();
    closeSync(fd);
  });
});
