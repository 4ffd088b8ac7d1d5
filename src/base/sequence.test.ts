import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { after, before, distance } from './sequence.ts';

const sequence = fc.integer({ min: -0x8000_0000, max: 0x7fff_ffff });
const step = fc.integer({ min: 1, max: 0x7fff_ffff });

test('comparison goes round the end of the number space', () => {
  assert.ok(before(0xffff_fff0 | 0, 5));
  assert.ok(after(0x8000_0000 | 0, 0x7fff_ffff));
  assert.equal(distance(5, 0xffff_fff0 | 0), 21);
});

test('what follows lies after, by as much', () => {
  fc.assert(
    fc.property(sequence, step, (from, bytes) => {
      const to = (from + bytes) | 0;
      assert.equal(distance(to, from), bytes);
      assert.equal(distance(from, to), -bytes);
      assert.ok(after(to, from) && before(from, to) && !before(to, from) && !after(from, to));
    }),
  );
});

test('nothing lies before or after itself', () => {
  fc.assert(
    fc.property(sequence, (at) => {
      assert.ok(!before(at, at) && !after(at, at));
      assert.equal(distance(at, at), 0);
    }),
  );
});
