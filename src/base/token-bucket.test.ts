import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { TokenBucket } from './token-bucket.ts';

describe('a token bucket', () => {
  it('lets a burst through, and then as much as flows in', () => {
    const bucket = new TokenBucket(3, 10);
    assert.deepEqual(
      [1, 2, 3, 4].map(() => bucket.take(5)),
      [true, true, true, false],
    );
    assert.equal(bucket.take(99_000), false);
    assert.equal(bucket.take(100_005), true);
    assert.equal(bucket.take(100_006), false);
  });

  it('holds no more than its burst, however long nobody asks, and loses nothing when time stands still', () => {
    const bucket = new TokenBucket(2, 1000);
    assert.equal(bucket.take(0), true);
    assert.deepEqual(
      [1, 2, 3].map(() => bucket.take(1e12)),
      [true, true, false],
    );
    assert.equal(bucket.take(0), false);
  });

  it('never lets through more than burst and rate allow', () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 0, max: 50_000 })), (gaps) => {
        const bucket = new TokenBucket(5, 100);
        let nowUs = 0;
        let taken = 0;
        for (const gapUs of gaps) {
          nowUs += gapUs;
          if (bucket.take(nowUs)) taken++;
          assert.ok(taken <= 5 + (nowUs * 100) / 1_000_000 + 1e-6);
        }
      }),
    );
  });
});
