import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { expandSecret, hashKey } from './flow-hash.ts';
import { KEY_WORDS } from './flow-key.ts';

const SLOTS = 4096;

/** The most keys that meet in one of `SLOTS` places. */
function fullest(keys: Iterable<Int32Array>, secret: number): number {
  const secrets = expandSecret(secret);
  const places = new Uint16Array(SLOTS);
  for (const key of keys) places[hashKey(key, secrets) & (SLOTS - 1)]++;
  return places.reduce((most, each) => Math.max(most, each));
}

/** The key of a TCP connection over IPv4. */
function connection(guestPort: number, remote: number, remotePort: number): Int32Array {
  return Int32Array.of(6, 0, 0, 0xffff, 0xc0000202, 0, 0, 0xffff, remote, (guestPort << 16) | remotePort);
}

/** Half as many keys as places: a fair hash puts some 5 of them in the fullest. */
const FULLEST_MAX = 12;

describe('the hash of a flow', () => {
  it('spreads what guests really do, whatever the secret', () => {
    const guests: Record<string, Int32Array[]> = {
      'ports in a row': Array.from({ length: SLOTS / 2 }, (_, i) => connection(32_768 + i, 0x08080808, 443)),
      'even ports': Array.from({ length: SLOTS / 2 }, (_, i) => connection(32_768 + 2 * i, 0x08080808, 443)),
      'a scan of a network': Array.from({ length: SLOTS / 2 }, (_, i) => connection(40_000, 0x0a000000 + i, 22)),
      'a scan of ports': Array.from({ length: SLOTS / 2 }, (_, i) => connection(40_000 + i, 0x0a000001, 1 + i)),
    };
    for (const [name, keys] of Object.entries(guests)) {
      for (let secret = 0; secret < 50; secret++) {
        const most = fullest(keys, secret * 0x01234567);
        assert.ok(most <= FULLEST_MAX, `${name}, secret ${secret}: ${most} in one place`);
      }
    }
  });

  it('spreads keys that differ in the top bits of their words alone, which cancel out in sums of multiples', () => {
    const keys = Array.from({ length: SLOTS / 2 }, (_, choice) => {
      const key = connection(40_000, 0x0a000001, 80);
      for (let bit = 0; bit < 11; bit++) {
        if ((choice & (1 << bit)) !== 0) key[1 + (bit % 9)] ^= bit < 9 ? 0x8000_0000 : 0x4000_0000;
      }
      return key;
    });
    for (let secret = 1; secret < 200; secret++) {
      const most = fullest(keys, secret * 0x3779b1);
      assert.ok(most <= 3 * FULLEST_MAX, `secret ${secret}: ${most} in one place`);
    }
  });

  it('gives any two keys the same place with few secrets only', () => {
    const key = fc
      .array(fc.integer(), { minLength: KEY_WORDS, maxLength: KEY_WORDS })
      .map((words) => Int32Array.from(words));
    fc.assert(
      fc.property(key, fc.nat(KEY_WORDS - 1), fc.integer(), (one, word, difference) => {
        fc.pre(difference !== 0);
        const other = one.slice();
        other[word] ^= difference;
        let same = 0;
        for (let secret = 0; secret < 200; secret++) {
          const secrets = expandSecret(secret);
          if (hashKey(one, secrets) === hashKey(other, secrets)) same++;
        }
        assert.ok(same <= 2, `${same} of 200`);
      }),
    );
  });
});
