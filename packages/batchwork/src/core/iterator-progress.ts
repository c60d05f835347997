/** How far a job is, and how long it will take. Pure. */

/** How far a job is. */
export interface Progress {
  /** 0 to 100; `null` while nobody knows of how many. */
  readonly percent: number | null;
  /** Items a second; `null` before the first page. */
  readonly ratePerSecond: number | null;
  /** What is left at that rate, ms. */
  readonly etaMs: number | null;
}

export function progressOf(
  processed: number,
  total: number | null,
  ratePerSecond: number | null,
): Progress {
  if (total === null) return { percent: null, ratePerSecond, etaMs: null };
  const left = Math.max(0, total - processed);
  const percent = total === 0 ? 100 : Math.min(100, (processed / total) * 100);
  const known = ratePerSecond !== null && ratePerSecond > 0;
  return {
    percent,
    ratePerSecond,
    etaMs: known ? Math.round((left / ratePerSecond) * 1000) : null,
  };
}
