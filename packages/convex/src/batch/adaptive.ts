/** How large the pages of an iterator are, from what asking for the last one took. */

/** Below this share of what a transaction may read, a page may be larger. */
const SMALL = 0.25;

/** Above it, a page has to be smaller: rows differ, and the next ones may be larger. */
const LARGE = 0.5;

/** One budget of a transaction, as the platform counts it. */
interface Budget {
  readonly used: number;
  readonly remaining: number;
}

/** The largest share that is used of any budget. */
export function shareOf(metrics: object): number {
  const shares = Object.values(metrics as Record<string, Budget>).map(
    ({ used, remaining }) => used / Math.max(used + remaining, 1),
  );
  return Math.max(0, ...shares);
}

/** The size of the next page. */
export function adaptedSize(
  size: number,
  { count, share, most }: { count: number; share: number; most: number },
): number {
  if (share > LARGE) return Math.max(1, Math.floor(size / 2));
  // A page that was not full says nothing about a larger one.
  return share < SMALL && count >= size ? Math.max(size, Math.min(size * 2, most)) : size;
}
