import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { AddressIndex, NO_ROW, NO_SCOPE } from './address-index.ts';

test('an address index does what a map does, up to its bound', () => {
  const step = fc.record({
    remove: fc.boolean(),
    scope: fc.integer({ min: NO_SCOPE, max: 2 }),
    word: fc.integer({ min: -20, max: 20 }),
    at: fc.integer({ min: 0, max: 3 }),
  });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 300 }), (steps) => {
      const index = new AddressIndex(60);
      const known = new Map<string, number>();
      for (const { remove, scope, word, at } of steps) {
        const words = [0, 0, 0, 0].map((_, i) => (i === at ? word : 7));
        const [w0 = 0, w1 = 0, w2 = 0, w3 = 0] = words;
        const key = [scope, ...words].join(' ');
        const row = known.get(key);
        assert.equal(index.find(scope, w0, w1, w2, w3), row ?? NO_ROW);
        if (remove && row !== undefined) {
          index.remove(row);
          known.delete(key);
        } else if (row === undefined) {
          const made = index.insert(scope, w0, w1, w2, w3);
          assert.equal(made === NO_ROW, known.size === 60);
          if (made === NO_ROW) continue;
          assert.ok(made < index.capacity && ![...known.values()].includes(made), 'a row of its own');
          assert.deepEqual([index.scope(made), ...[0, 1, 2, 3].map((i) => index.word(made, i))], [scope, ...words]);
          known.set(key, made);
        }
        assert.equal(index.count, known.size);
      }
    }),
  );
});
