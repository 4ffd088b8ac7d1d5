/**
 * Arithmetic on 32-bit sequence numbers (RFC 9293, section 3.4). A sequence number is an int32; comparison is by the sign of the
 * wrapped difference, so it is right as long as the two are less than 2^31 apart.
 */

/** How far `a` is ahead of `b`: negative when it lies behind. */
export function distance(a: number, b: number): number {
  return (a - b) | 0;
}

export function before(a: number, b: number): boolean {
  return ((a - b) | 0) < 0;
}

export function after(a: number, b: number): boolean {
  return ((a - b) | 0) > 0;
}
