/** The Internet checksum in its plainest form (RFC 1071), and the pseudo-headers of TCP (RFC 9293 section 3.1, RFC 8200 section 8.1). */

/** The folded sum of 16-bit words, on top of `start`; not complemented. */
export function internetSum(bytes: Uint8Array, start: number): number {
  let sum = start;
  for (let at = 0; at < bytes.length; at += 2) sum += (bytes[at]! << 8) | (bytes[at + 1] ?? 0);
  while (sum > 0xffff) sum = (sum & 0xffff) + Math.floor(sum / 0x10000);
  return sum;
}

/** Whether bytes that hold their own checksum sum up to all ones. */
export function isSumRight(bytes: Uint8Array, start: number): boolean {
  return internetSum(bytes, start) === 0xffff;
}

export function pseudoHeaderSum(source: Uint8Array, destination: Uint8Array, protocol: number, length: number): number {
  return internetSum(destination, internetSum(source, protocol + length));
}
