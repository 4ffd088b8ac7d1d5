import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { formatMacAddress } from '../base/address.ts';
import { L2Fib, LEARNT } from './l2-fib.ts';

const HIGH = 0x0200;
const NEVER = Int32Array.of(0, 0, 0, 0);

function fresh(max: number = 8): L2Fib {
  return new L2Fib(max, 0x1234_5678);
}

describe('the table of MAC addresses', () => {
  it('learns, and notices moves', () => {
    const fib = fresh();
    assert.equal(fib.find(0, HIGH, 7), -1);
    assert.equal(fib.learn(0, HIGH, 7, 3, 0), LEARNT.NEW);
    assert.equal(fib.learn(0, HIGH, 7, 3, 1), LEARNT.KNOWN);
    assert.equal(fib.find(0, HIGH, 7), 3);
    assert.equal(fib.learn(0, HIGH, 7, 0, 2), LEARNT.MOVED);
    assert.equal(fib.find(0, HIGH, 7), 0);
    assert.equal(fib.count, 1);
  });

  it('keeps bridges apart, and every bit of an address', () => {
    const fib = fresh(16);
    fib.learn(0xffff, 0xffff, -1, 1, 0);
    fib.learn(0, 0, 0, 2, 0);
    fib.learn(1, HIGH, 7, 3, 0);
    assert.deepEqual([fib.find(0xffff, 0xffff, -1), fib.find(0, 0, 0), fib.find(1, HIGH, 7)], [1, 2, 3]);
    assert.deepEqual([fib.find(2, HIGH, 7), fib.find(1, HIGH + 1, 7), fib.find(1, HIGH, 8)], [-1, -1, -1]);
    assert.deepEqual(
      fib.entries().map(({ bridge, mac, interfaceIndex }) => `${bridge} ${formatMacAddress(mac)} ${interfaceIndex}`),
      ['0 00:00:00:00:00:00 2', '1 02:00:00:00:00:07 3', '65535 ff:ff:ff:ff:ff:ff 1'],
    );
  });

  it('learns no more than it has room for, and goes on to notice moves', () => {
    const fib = fresh(2);
    fib.learn(0, HIGH, 1, 1, 0);
    fib.learn(0, HIGH, 2, 1, 0);
    assert.equal(fib.learn(0, HIGH, 3, 1, 0), LEARNT.FULL);
    assert.equal(fib.setStatic(0, HIGH, 3, 1), false);
    assert.equal(fib.learn(0, HIGH, 2, 2, 0), LEARNT.MOVED);
    assert.equal(fib.setStatic(0, HIGH, 2, 1), true);
    assert.equal(fib.remove(0, HIGH, 1), true);
    assert.equal(fib.remove(0, HIGH, 1), false);
    assert.equal(fib.learn(0, HIGH, 3, 1, 0), LEARNT.NEW);
    assert.equal(fib.count, 2);
  });

  it('neither moves, nor ages, nor flushes what is static', () => {
    const fib = fresh();
    fib.learn(0, HIGH, 1, 1, 0);
    assert.equal(fib.setStatic(0, HIGH, 1, 2), true);
    assert.equal(fib.learn(0, HIGH, 1, 1, 5), LEARNT.ELSEWHERE);
    assert.equal(fib.learn(0, HIGH, 1, 2, 5), LEARNT.KNOWN);
    assert.equal(fib.sweep(1000, Int32Array.of(10), fib.places), 0);
    assert.equal(fib.flush(), 0);
    assert.equal(fib.find(0, HIGH, 1), 2);
    assert.equal(fib.entries()[0].heardS, undefined);
    assert.equal(fib.removeAll({ interfaceIndex: 2 }), 1);
    assert.equal(fib.find(0, HIGH, 1), -1);
  });

  it("forgets what was silent for longer than its bridge's ageing time, and nothing where that is 0", () => {
    const fib = fresh();
    const ageingS = Int32Array.of(10, 0);
    fib.learn(0, HIGH, 1, 1, 100);
    fib.learn(0, HIGH, 2, 1, 100);
    fib.learn(1, HIGH, 1, 2, 100);
    fib.learn(0, HIGH, 2, 1, 105);
    assert.equal(fib.sweep(110, ageingS, fib.places), 0);
    assert.equal(fib.sweep(111, ageingS, fib.places), 1);
    assert.deepEqual([fib.find(0, HIGH, 1), fib.find(0, HIGH, 2), fib.find(1, HIGH, 1)], [-1, 1, 2]);
    assert.equal(fib.sweep(1_000_000, ageingS, fib.places), 1);
    assert.equal(fib.count, 1);
  });

  it('ages in slices, all of them after one round', () => {
    const fib = fresh(500);
    for (let low = 0; low < 500; low++) fib.learn(0, HIGH, low, 1, 0);
    const slice = fib.places / 8;
    let removed = 0;
    for (let i = 0; i < 8; i++) {
      const now = fib.sweep(100, Int32Array.of(10), slice);
      assert.ok(now > 0 && now <= 2 * slice);
      removed += now;
    }
    assert.deepEqual([removed, fib.count], [500, 0]);
  });

  it('flushes by interface, by bridge, and by both', () => {
    const fib = fresh(64);
    for (let low = 0; low < 24; low++) fib.learn(low % 2, HIGH, low, low % 3, 0);
    assert.equal(fib.entries({ bridge: 1, interfaceIndex: 2 }).length, 4);
    assert.equal(fib.flush({ bridge: 1, interfaceIndex: 2 }), 4);
    assert.equal(fib.flush({ interfaceIndex: 2 }), 4);
    assert.equal(fib.flush({ bridge: 0 }), 8);
    assert.deepEqual(
      fib.entries().map(({ bridge, interfaceIndex }) => [bridge, interfaceIndex === 2]),
      Array(8).fill([1, false]),
    );
    assert.equal(fib.flush(), 8);
    assert.equal(fib.count, 0);
  });

  it('spreads addresses in a row, as guests of one vendor have them', () => {
    for (const secret of [0, 1, -1, 0x7fff_ffff]) {
      const fib = new L2Fib(4096, secret);
      for (let low = 0; low < 4096; low++) fib.learn(low & 3, HIGH, low, low, 0);
      for (let low = 0; low < 4096; low++) assert.equal(fib.find(low & 3, HIGH, low), low);
    }
  });

  it('knows what a map would know, whatever happens', () => {
    const bridge = fc.integer({ min: 0, max: 3 });
    const low = fc.integer({ min: 0, max: 15 });
    const place = fc.integer({ min: 0, max: 5 });
    const step = fc.oneof(
      { weight: 8, arbitrary: fc.record({ do: fc.constant('learn' as const), bridge, low, place }) },
      { weight: 1, arbitrary: fc.record({ do: fc.constant('static' as const), bridge, low, place }) },
      { weight: 2, arbitrary: fc.record({ do: fc.constant('remove' as const), bridge, low, place }) },
      { weight: 1, arbitrary: fc.record({ do: fc.constant('flush' as const), bridge, low, place }) },
      { weight: 1, arbitrary: fc.record({ do: fc.constant('leave' as const), bridge, low, place }) },
      { weight: 1, arbitrary: fc.record({ do: fc.constant('age' as const), bridge, low, place }) },
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 200, size: 'max' }), fc.integer(), (steps, secret) => {
        const fib = new L2Fib(32, secret);
        const model = new Map<string, { place: number; heardS: number | undefined }>();
        const ageingS = Int32Array.of(3, 20, 0, 7);
        steps.forEach((each, nowS) => {
          const key = `${each.bridge} ${each.low}`;
          const known = model.get(key);
          const isFull = known === undefined && model.size === 32;
          if (each.do === 'learn') {
            const done = fib.learn(each.bridge, HIGH, each.low, each.place, nowS);
            assert.equal(done === LEARNT.FULL, isFull);
            if (isFull || (known !== undefined && known.heardS === undefined)) return;
            model.set(key, { place: each.place, heardS: nowS });
          } else if (each.do === 'static') {
            assert.equal(fib.setStatic(each.bridge, HIGH, each.low, each.place), !isFull);
            if (!isFull) model.set(key, { place: each.place, heardS: undefined });
          } else if (each.do === 'remove') {
            assert.equal(fib.remove(each.bridge, HIGH, each.low), model.delete(key));
          } else {
            if (each.do === 'age') fib.sweep(nowS, ageingS, fib.places);
            else if (each.do === 'flush') fib.flush({ bridge: each.bridge });
            else fib.removeAll({ interfaceIndex: each.place });
            for (const [at, { place: behind, heardS }] of [...model]) {
              const of = Number(at.split(' ')[0]);
              const isAged = heardS !== undefined && ageingS[of] !== 0 && nowS - heardS > ageingS[of];
              const isFlushed = heardS !== undefined && of === each.bridge;
              const isGone = each.do === 'age' ? isAged : each.do === 'flush' ? isFlushed : behind === each.place;
              if (isGone) model.delete(at);
            }
          }
        });
        assert.equal(fib.count, model.size);
        const found = fib.entries().map((each) => [`${each.bridge} ${each.mac.low}`, each.interfaceIndex, each.heardS]);
        const expected = [...model].map(([key, { place: behind, heardS }]) => [key, behind, heardS]);
        assert.deepEqual(
          new Map(found.map((each) => [each[0], each])),
          new Map(expected.map((each) => [each[0], each])),
        );
        for (const [key, { place: behind }] of model) {
          const [of, address] = key.split(' ').map(Number);
          assert.equal(fib.find(of, HIGH, address), behind);
        }
      }),
    );
  });

  it('sweeps nothing where nothing ages', () => {
    const fib = fresh();
    fib.learn(0, HIGH, 1, 1, 0);
    assert.equal(fib.sweep(0x7fff_ffff, NEVER, 1_000_000), 0);
  });
});
