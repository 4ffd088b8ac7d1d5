/**
 * The keyed hash of a flow's key: NH (RFC 4418, section 5.2.2) on 16-bit halves, and a finalizer.
 *
 * The guest chooses addresses and ports, and could choose them so that all flows meet in one place of the table. NH forbids it with proof: each word
 * becomes the product of its halves, each with a 16-bit secret added, and for any two keys that somebody may think of, no more than one choice of
 * secrets in 65,536 gives both the same sum. The products wait for nothing, so that a processor works at several of them at once: a chain
 * (multiply, mix in the next word, multiply) takes twice as long.
 */
import { KEY_WORDS } from './flow-key.ts';

/** Behind the secrets: what the upper words of two IPv4 addresses, which are always the same, add up to. */
const MAPPED = 2 * KEY_WORDS;

/** Two secrets for each word of a key, 16 bits each, of one number (splitmix32). */
export function expandSecret(secret: number): Int32Array {
  const secrets = new Int32Array(MAPPED + 1);
  let state = secret | 0;
  for (let i = 0; i < MAPPED; i++) {
    state = (state + 0x9e3779b9) | 0;
    let word = Math.imul(state ^ (state >>> 16), 0x21f0aaad);
    word = Math.imul(word ^ (word >>> 15), 0x735a2d97);
    secrets[i] = (word ^ (word >>> 15)) & 0xffff;
  }
  secrets[MAPPED] = upperSum(Int32Array.of(0, 0, 0, 0xffff, 0, 0, 0, 0xffff, 0, 0), secrets);
  return secrets;
}

/** 32 bits, of which any number will do. */
export function hashKey(key: Int32Array, secrets: Int32Array): number {
  return finalized((lowerSum(key[0], key[4], key[8], key[9], secrets) + upperSum(key, secrets)) | 0);
}

/** What `hashKey` gives for a key with two IPv4 addresses, of which it needs these words alone. */
export function hashIpv4Key(first: number, guest: number, remote: number, ports: number, secrets: Int32Array): number {
  return finalized((lowerSum(first, guest, remote, ports, secrets) + secrets[MAPPED]) | 0);
}

/** The words that differ between IPv4 flows. */
function lowerSum(first: number, guest: number, remote: number, ports: number, secrets: Int32Array): number {
  return (
    (product(first, secrets[0], secrets[1]) +
      product(guest, secrets[8], secrets[9]) +
      product(remote, secrets[16], secrets[17]) +
      product(ports, secrets[18], secrets[19])) |
    0
  );
}

function finalized(sum: number): number {
  // The sum of ports in a row is a row with gaps: every bit of it is to reach the low ones, which choose the place.
  let hash = Math.imul(sum ^ (sum >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return hash ^ (hash >>> 16);
}

/** The upper three words of both addresses. */
function upperSum(key: Int32Array, secrets: Int32Array): number {
  return (
    (product(key[1], secrets[2], secrets[3]) +
      product(key[2], secrets[4], secrets[5]) +
      product(key[3], secrets[6], secrets[7]) +
      product(key[5], secrets[10], secrets[11]) +
      product(key[6], secrets[12], secrets[13]) +
      product(key[7], secrets[14], secrets[15])) |
    0
  );
}

function product(word: number, high: number, low: number): number {
  return Math.imul(((word >>> 16) + high) & 0xffff, (word + low) & 0xffff);
}
