/**
 * Bytes to send: the same for both ends of a connection, so that a hash tells whether all of them arrived, once and in order. The period is odd and longer than any
 * buffer on the way: bytes that are lost, doubled or moved change the hash.
 */
import { createHash } from 'node:crypto';

const PERIOD_BYTES = 1_000_003;

const period: Buffer = makePeriod();
/** Twice, so that a period that starts anywhere is one slice. */
const doubled: Buffer = Buffer.concat([period, period]);

/** The bytes from `offset` on, `count` of them or as many as are at hand. */
export function patternAt(offset: number, count: number): Buffer {
  const start = offset % PERIOD_BYTES;
  return doubled.subarray(start, start + Math.min(count, PERIOD_BYTES));
}

/** SHA-256 of the first `bytes`, in hexadecimal. */
export function patternHash(bytes: number): string {
  const hash = createHash('sha256');
  for (const chunk of patternChunks(bytes)) hash.update(chunk);
  return hash.digest('hex');
}

export function* patternChunks(bytes: number): Generator<Buffer> {
  for (let at = 0; at < bytes; at += PERIOD_BYTES) yield patternAt(at, bytes - at);
}

/** xorshift32, by Marsaglia. */
function makePeriod(): Buffer {
  const bytes = Buffer.alloc(PERIOD_BYTES);
  let state = 0x7a9057e2;
  for (let i = 0; i < bytes.length; i++) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    bytes[i] = state & 0xff;
  }
  return bytes;
}
