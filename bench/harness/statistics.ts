/** The little arithmetic the benchmark needs. */

/** The middle value; the mean of the two middle ones of an even number. NaN of nothing. */
export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  const upper = sorted[middle] ?? Number.NaN;
  return sorted.length % 2 === 1 ? upper : (upper + (sorted[middle - 1] ?? Number.NaN)) / 2;
}

/** The smallest value that at least the share `q` (0 to 1) of the values does not exceed. */
export function quantile(values: readonly number[], q: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  const at = Math.min(sorted.length - 1, Math.max(0, Math.ceil(q * sorted.length) - 1));
  return sorted[at] ?? Number.NaN;
}

/**
 * The median over rounds of `numerators[round] / denominators[round]`, so that a slow minute of the
 * machine hits both sides of a ratio. `undefined` (a row that failed in this round) leaves the round
 * out; `null` when no round has both sides.
 */
export function medianRatio(
  numerators: readonly (number | undefined)[],
  denominators: readonly (number | undefined)[],
): number | null {
  const ratios: number[] = [];
  for (const [round, numerator] of numerators.entries()) {
    const denominator = denominators[round];
    if (numerator !== undefined && denominator !== undefined) ratios.push(numerator / denominator);
  }
  return ratios.length === 0 ? null : median(ratios);
}

/** `value` with at most this many significant digits, for output. */
export function rounded(value: number, digits = 3): number {
  return Number(value.toPrecision(digits));
}
