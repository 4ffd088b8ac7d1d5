/** Medians: what a few noisy values have in common. */

/** The middle value, or the mean of the two middle ones; undefined for none. */
export function median(values: readonly number[]): number | undefined {
  if (values.length === 0) return undefined;
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

/**
 * The median of a/b over the rounds in which both have a value. The two of one round were measured within seconds of
 * each other, so what slows the machine for longer slows both: this ratio is steadier than that of the medians.
 */
export function medianRatio(
  a: readonly (number | undefined)[],
  b: readonly (number | undefined)[],
): number | undefined {
  const ratios: number[] = [];
  for (const [round, value] of a.entries()) {
    const other = b[round];
    if (value !== undefined && other !== undefined && other > 0) ratios.push(value / other);
  }
  return median(ratios);
}
