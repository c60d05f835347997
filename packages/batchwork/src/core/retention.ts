/** What is kept of work that is over. */

/** At most so many, and none that is older. */
export interface Retention {
  /** The latest so many; `Infinity` for no limit. */
  readonly count: number;
  /** Since it ended, ms; `Infinity` for no limit. */
  readonly ageMs: number;
}

/**
 * A finished batch is never forgotten sooner than this, ms: whoever lost the reply to a settlement
 * asks again.
 */
export const FINISHED_MS_MIN = 60_000;

/** True where nothing is to be kept. */
export function keepsNothing({ count, ageMs }: Retention): boolean {
  return count === 0 || ageMs === 0;
}
