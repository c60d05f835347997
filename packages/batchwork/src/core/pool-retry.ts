/** How often a task that failed is tried again, and after how long. */

/** A retry policy of a task with every default filled in. */
export interface TaskRetry {
  /** Attempts in all. */
  readonly maxAttempts: number;
  /** Delay before the first retry, ms. */
  readonly initialBackoffMs: number;
  /** Each further delay is this many times the one before. */
  readonly base: number;
  /** No delay is longer than this, ms. */
  readonly maxBackoffMs: number;
}

/** One attempt and no more. */
export const NO_RETRY: TaskRetry = Object.freeze({
  maxAttempts: 1,
  initialBackoffMs: 0,
  base: 1,
  maxBackoffMs: 0,
});

/** Share of a delay that is drawn at random, so that what failed together is not tried together. */
const JITTER = 0.5;

/**
 * Delay in ms before the attempt that follows `failedAttempt` (1 is the first one). Never longer
 * than documented: chance only takes off. `random` is in [0, 1).
 */
export function backoffMs(retry: TaskRetry, failedAttempt: number, random: number): number {
  const { initialBackoffMs, base, maxBackoffMs } = retry;
  // Infinity where the power is too large for a double; times a delay of 0 that would be no number.
  const grown = initialBackoffMs === 0 ? 0 : initialBackoffMs * base ** (failedAttempt - 1);
  return Math.round(Math.min(grown, maxBackoffMs) * (1 - JITTER * random));
}
