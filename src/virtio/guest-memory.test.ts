import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import type { GuestMemory } from './guest-memory.ts';
import { plainMemory, region } from './guest-memory-fixture.test.ts';

const USER = 0x7f00_0000_0000;

describe('guest memory', () => {
  it('finds addresses of both kinds in the region that holds them', () => {
    const { memory } = plainMemory([8192, 8192]);
    assert.ok(memory.replace([region(0, USER, 4096, 4096), region(0x1_0000_0000, USER + 8192, 8192)], [0, 1]).ok);
    assert.equal(findGuest(memory, 0x1_0000_0010, 32), 32);
    assert.deepEqual([memory.memory, memory.at], [100, 16]);
    assert.equal(findGuest(memory, 4000, 200), 96, 'to the end of the region');
    assert.deepEqual([memory.memory, memory.at], [0, 4000]);
    assert.equal(memory.view.byteOffset, 4096, "the file's offset is in the view");
    assert.equal(memory.findUser(USER + 8192 + 100, 50), true);
    assert.deepEqual([memory.memory, memory.at], [100, 100]);
    for (const address of [-1, 4096, 0xffff_ffff, 0x1_0000_2000, 2 ** 53, 2 ** 63, 2 ** 64 - 2 ** 12]) {
      assert.equal(findGuest(memory, address, 1), 0, String(address));
    }
    assert.equal(memory.findUser(USER + 4000, 97), false);
  });

  it('finds in windows that overlap what is no longer than the overlap, in one piece', () => {
    const { memory, files } = plainMemory([4096], 1024, 64);
    assert.ok(memory.add(region(0x1000, USER, 4096), 0).ok);
    const inside = fc.tuple(fc.nat(4095), fc.integer({ min: 1, max: 64 }));
    fc.assert(
      fc.property(inside, ([at, length]) => {
        const whole = at + length <= 4096;
        assert.equal(findGuest(memory, 0x1000 + at, length), whole ? length : 4096 - at);
        assert.equal(memory.view.byteOffset + memory.at, files[0]!.byteOffset + at);
        assert.equal(memory.findUser(USER + at, length), whole);
      }),
    );
    assert.equal(findGuest(memory, 0x1000, 4096), 1088, 'a longer one in pieces');
  });

  it('keeps what it has when others can not be mapped, and gives up what it exchanges', () => {
    const { memory, mapped } = plainMemory([4096, 4096, 4096]);
    assert.ok(memory.replace([region(0, USER, 4096)], [0]).ok);
    const wrong = memory.replace([region(0, USER, 4096), region(4096, USER + 4096, 8192)], [1, 2]);
    assert.equal(!wrong.ok && wrong.failure.code, 'guest-memory-failed');
    assert.deepEqual([...mapped], [0]);
    assert.ok(memory.replace([region(0, USER, 4096)], [1]).ok);
    assert.deepEqual([...mapped], [1]);
    assert.ok(memory.add(region(4096, USER + 4096, 4096), 2).ok);
    assert.equal(findGuest(memory, 4000, 4096), 96);
    memory.remove(region(0, USER, 4096));
    assert.deepEqual([[...mapped], findGuest(memory, 0, 1), findGuest(memory, 4096, 1)], [[2], 0, 1]);
    memory.remove(region(0, USER, 4096));
    assert.ok(memory.add(region(4096, USER + 4096, 4096), 1).ok, 'the same again, from another file');
    assert.deepEqual([[...mapped], memory.regionCount], [[1], 1]);
    memory.close();
    assert.equal(mapped.size, 0);
  });

  it('refuses regions that can not be', () => {
    const { memory } = plainMemory([1 << 20]);
    assert.ok(memory.add(region(0x10_000, USER, 0x10_000), 0).ok);
    for (const [wrong, code] of [
      [region(0, 0, 0), 'guest-memory-range'],
      [region(Number.POSITIVE_INFINITY, 0, 4096), 'guest-memory-range'],
      [region(2 ** 53 - 4096, 0, 8192), 'guest-memory-range'],
      [region(0, 0, 4096, 8), 'guest-memory-range'],
      [region(0, 0, 2 ** 41), 'guest-memory-size'],
      [region(0x1_ffff, 0, 4096), 'guest-memory-overlap'],
      [region(0, USER - 4095, 4096), 'guest-memory-overlap'],
      [region(0, 0, 1 << 21), 'guest-memory-overlap'],
      [region(0x100_000, 0, 1 << 21), 'guest-memory-failed'],
    ] as const) {
      const result = memory.add(wrong, 0);
      assert.equal(!result.ok && result.failure.code, code, JSON.stringify(wrong));
    }
    for (let i = 1; i < 64; i++) assert.ok(memory.add(region(i << 24, i << 24, 4096), 0).ok);
    const last = memory.add(region(1 << 20, 1 << 20, 4096), 0);
    assert.equal(!last.ok && last.failure.code, 'guest-memory-regions');
  });
});

/** Of an address as a number. */
function findGuest(memory: GuestMemory, address: number, length: number): number {
  return memory.findGuest(Math.floor(address / 2 ** 32) | 0, address | 0, length);
}
