import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { DirtyLog } from './dirty-log.ts';
import type { MappedMemory } from './guest-memory.ts';
import { plainMemory, region } from './guest-memory-fixture.test.ts';

const BITMAP_BYTES = 4;

function logOf(bytes: number = BITMAP_BYTES): {
  log: DirtyLog;
  marked: () => number[];
  file: { isLost: boolean; isMapped: boolean };
} {
  const { memory } = plainMemory([0x2_0000, 0x1000], 0x1_0000, 0x1000);
  assert.ok(memory.replace([region(0x1_0000, 0x7000_0000, 0x1_8000), region(0x100, 0x8000_0000, 0x800)], [0, 1]).ok);
  const file = { isLost: false, isMapped: true };
  // The bitmap begins at some byte of what was mapped.
  const buffer = new ArrayBuffer(bytes + 5);
  const mapped: MappedMemory = {
    windows: [{ memory: 7, at: 0, view: new DataView(buffer, 3, bytes) }],
    isLost: () => file.isLost,
    unmap: () => {
      file.isMapped = false;
    },
  };
  const marked = (): number[] => {
    const bits = [...new Uint8Array(buffer)].flatMap((byte, at) =>
      [0, 1, 2, 3, 4, 5, 6, 7].map((bit) => ({ byte, at, bit })),
    );
    return bits.filter(({ byte, bit }) => (byte & (1 << bit)) !== 0).map(({ at, bit }) => (at - 3) * 8 + bit);
  };
  return { log: new DirtyLog(mapped, memory), marked, file };
}

describe('a log of written pages', () => {
  it('marks each page that a byte of the write lies in', () => {
    for (const [address, bytes, pages] of [
      [0, 1, [0]],
      [4095, 1, [0]],
      [4095, 2, [0, 1]],
      [4096, 4096, [1]],
      [0x7fff, 4098, [7, 8, 9]],
      [31 * 4096, 4096, [31]],
      [5000, 0, []],
    ] as const) {
      const { log, marked } = logOf();
      log.mark(address, bytes);
      assert.deepEqual(marked(), pages, `${bytes} bytes at ${address}`);
      assert.equal(log.missed, 0);
    }
  });

  it('leaves what is marked as it is', () => {
    const { log, marked } = logOf();
    for (const address of [0x3000, 0x5000, 0x3000]) log.mark(address, 10);
    assert.deepEqual(marked(), [3, 5]);
  });

  it('finds the guest address of a place in a memory', () => {
    const { log, marked } = logOf();
    // The second window of the first region begins 0x10000 behind the first.
    log.markPlace(1, 0x1000, 16);
    log.markPlace(0, 0xffff, 2);
    log.markPlace(100, 0, 16);
    log.markPlace(55, 0, 16);
    assert.deepEqual(marked(), [0, 31]);
    assert.equal(log.missed, 2, 'guest addresses from 0x20000 on are beyond the bitmap');
  });

  it('touches nothing beyond its end, whatever the address', () => {
    const { log, marked } = logOf();
    log.mark(31 * 4096, 4097);
    for (const address of [32 * 4096, 2 ** 43, 2 ** 44, Number.MAX_SAFE_INTEGER, Number.POSITIVE_INFINITY]) {
      log.mark(address, 65_536);
    }
    assert.deepEqual(marked(), [31]);
    assert.equal(log.missed, 6);
  });

  it('says in the end whether it is whole', () => {
    const { log, file } = logOf();
    assert.deepEqual([log.close(), file.isMapped], ['', false]);
    const small = logOf(1);
    small.log.mark(8 * 4096, 1);
    assert.match(small.log.close(), /^1 writes were beyond its end$/);
    const cut = logOf();
    cut.file.isLost = true;
    assert.match(cut.log.close(), /cut short/);
  });
});
