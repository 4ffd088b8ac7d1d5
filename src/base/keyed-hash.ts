/**
 * What keyed hashes are made of: NH (RFC 4418, section 5.2.2) on 16-bit halves, and a finalizer.
 *
 * A hash is the sum of `product(word, secret, secret)` over the words of its key, with two secrets of their own for each word, passed through
 * `finalized`. For any two keys that somebody may think of, no more than one choice of secrets in 65,536 gives both the same sum: who
 * chooses keys, but does not know the secrets, cannot make them meet. The products wait for nothing, so that a processor works at several
 * of them at once: a chain (multiply, mix in the next word, multiply) takes twice as long.
 *
 * Where no more than 17 bits are needed, a sum of `halves` does, without a finalizer, and with one secret of its own more: its upper 17 bits are a strongly universal hash (Lemire
 * and Kaser, "Strongly universal string hashing is fast", 2014). No choice of keys collides more often than chance.
 */

/** Bits of a sum of `halves` that are a hash: its upper ones. */
export const HALVES_HASH_BITS = 17;

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

/** `count` secrets of 32 bits, which nobody outside of the process can know. */
export function randomSecrets(count: number): Int32Array {
  return Int32Array.from({ length: count }, () => Math.random() * 0x1_0000_0000);
}

/** What one word of a key adds to a sum of halves. */
export function halves(word: number, low: number, high: number): number {
  return Math.imul(word & 0xffff, low) + Math.imul(word >>> 16, high);
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
