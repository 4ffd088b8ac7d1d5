import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Random } from './random.ts';

test('the same seed gives the same numbers, another seed others', () => {
  const [a, b, c] = [new Random(7), new Random(7), new Random(8)];
  const draw = (random: Random): number[] => Array.from({ length: 50 }, () => random.next());
  const first = draw(a);
  assert.deepEqual(draw(b), first);
  assert.notDeepEqual(draw(c), first);
});

test('fractions and integers stay in their ranges and use all of them', () => {
  const random = new Random(1);
  const seen = new Set<number>();
  let sum = 0;
  for (let i = 0; i < 10_000; i++) {
    const fraction = random.fraction();
    assert.ok(fraction >= 0 && fraction < 1);
    sum += fraction;
    seen.add(random.between(3, 7));
  }
  assert.deepEqual([...seen].sort(), [3, 4, 5, 6, 7]);
  assert.ok(Math.abs(sum / 10_000 - 0.5) < 0.02);
});

test('a chance of 0 draws nothing, so that it changes no other stream', () => {
  const [a, b] = [new Random(3), new Random(3)];
  for (let i = 0; i < 10; i++) assert.equal(a.chance(0), false);
  assert.equal(a.next(), b.next());
});

test('fill gives every byte a value', () => {
  const bytes = new Random(5).fill(new Uint8Array(1001));
  assert.ok(new Set(bytes).size > 240);
});
