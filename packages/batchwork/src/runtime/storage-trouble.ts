/** How long to wait before a storage that failed is asked again. */
import { retryDelayMs } from "../core/retry.ts";

/** 50 ms, doubled up to 4.5 s, with jitter, so that work goes on within 5 s of its return. */
const TROUBLE = {
  max: Number.POSITIVE_INFINITY,
  strategy: "exponential",
  baseDelay: 50,
  maxDelay: 4500,
  jitter: 0.5,
} as const;

/** After so many failures in a row, ms. `random` is in [0, 1). */
export function troubleDelayMs(failures: number, random: number): number {
  return retryDelayMs(TROUBLE, failures, random);
}
