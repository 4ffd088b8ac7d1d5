/**
 * Copies between two memories without making an object, as `set(subarray(...))` would. Within one memory `copyWithin` is the way.
 */
export function copyBytes(from: DataView, fromAt: number, to: DataView, toAt: number, length: number): void {
  const words = length & ~3;
  let at = 0;
  for (; at < words; at += 4) to.setInt32(toAt + at, from.getInt32(fromAt + at));
  for (; at < length; at++) to.setUint8(toAt + at, from.getUint8(fromAt + at));
}

/** Whether two ranges hold the same bytes. */
export function equalBytes(a: DataView, aAt: number, b: DataView, bAt: number, length: number): boolean {
  for (let at = 0; at < length; at++) {
    if (a.getUint8(aAt + at) !== b.getUint8(bAt + at)) return false;
  }
  return true;
}
