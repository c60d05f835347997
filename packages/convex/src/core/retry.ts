// Copied from packages/batchwork/src/core by codegen/core.ts. Edit it there.
/** How often a failed item is tried again, and after how long. */

/** A retry policy with every default filled in. */
export interface RetryPolicy {
  /** Retries after the first attempt. 0 means one attempt in all. */
  readonly max: number;
  readonly strategy: "exponential" | "fixed";
  /** Delay before the first retry, ms. */
  readonly baseDelay: number;
  /** No delay is longer than this, ms. */
  readonly maxDelay: number;
  /** Share of the delay that is drawn at random, 0 to 1. */
  readonly jitter: number;
}

/** How many attempts a policy allows in all. */
export function maxAttempts(policy: RetryPolicy): number {
  return policy.max + 1;
}

/**
 * Delay in ms before the attempt that follows `failedAttempt` (1 is the first attempt). Exponential
 * doubles `baseDelay` with each attempt; `jitter` takes up to that share off, so delays are never
 * longer than documented. `random` is in [0, 1).
 */
export function retryDelayMs(policy: RetryPolicy, failedAttempt: number, random: number): number {
  // 2 ** 1023 is the largest power of two a double holds; beyond it the cap applies anyway.
  const doublings = policy.strategy === "fixed" ? 0 : Math.min(failedAttempt - 1, 1023);
  const capped = Math.min(policy.baseDelay * 2 ** doublings, policy.maxDelay);
  return Math.round(capped * (1 - policy.jitter * random));
}
