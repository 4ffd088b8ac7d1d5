/**
 * The keyed hash of a flow's key: NH on 16-bit halves, and a finalizer.
 *
 * The guest chooses addresses and ports, and could choose them so that all flows meet in one place of the table. Why it cannot is said where the
 * parts of the hash are.
 */
import { expandSecrets, finalized, product } from '../base/keyed-hash.ts';
import { KEY_WORDS } from './flow-key.ts';

/** Behind the secrets: what the upper words of two IPv4 addresses, which are always the same, add up to. */
const MAPPED = 2 * KEY_WORDS;

/** Two secrets for each word of a key, of one number. */
export function expandSecret(secret: number): Int32Array {
  const secrets = expandSecrets(secret, MAPPED + 1);
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
