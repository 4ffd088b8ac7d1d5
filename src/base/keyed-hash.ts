/**
 * What keyed hashes are made of: NH (RFC 4418, section 5.2.2) on 16-bit halves, and a finalizer.
 *
 * A hash is the sum of `product(word, secret, secret)` over the words of its key, with two secrets of their own for each word, passed through
 * `finalized`. For any two keys that somebody may think of, no more than one choice of secrets in 65,536 gives both the same sum: who
 * chooses keys, but does not know the secrets, cannot make them meet. The products wait for nothing, so that a processor works at several
 * of them at once: a chain (multiply, mix in the next word, multiply) takes twice as long.
 */

/** `count` secrets of 16 bits each, of one number (splitmix32). */
export function expandSecrets(secret: number, count: number): Int32Array {
  const secrets = new Int32Array(count);
  let state = secret | 0;
  for (let i = 0; i < count; i++) {
    state = (state + 0x9e3779b9) | 0;
    let word = Math.imul(state ^ (state >>> 16), 0x21f0aaad);
    word = Math.imul(word ^ (word >>> 15), 0x735a2d97);
    secrets[i] = (word ^ (word >>> 15)) & 0xffff;
  }
  return secrets;
}

/** What one word of a key adds to the sum. */
export function product(word: number, high: number, low: number): number {
  return Math.imul(((word >>> 16) + high) & 0xffff, (word + low) & 0xffff);
}

/** 32 bits of which any number will do, the low ones too: the sum of keys in a row is a row with gaps. */
export function finalized(sum: number): number {
  let hash = Math.imul(sum ^ (sum >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return hash ^ (hash >>> 16);
}
