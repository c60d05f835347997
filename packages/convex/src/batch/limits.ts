/** The batch component's limits and delays, each with its reason. */
import type { RetryPolicy } from "../core/retry.js";

/** Items of a batch when no maximum was declared: an array of arguments ends at 8,192. */
export const BATCH_ITEMS_MAX = 1000;

/** Bytes of a batch: arguments of an action end at 5 MiB in Node. */
export const BATCH_BYTES_MAX = 4 * 1024 * 1024;

/** Items in one payload row. Small enough to be cut twice, large enough to be few. */
export const CHUNK_ITEMS_MAX = 1000;

/** Headers that a look reads: each add is one at least. */
export const HEADERS_MAX = 1000;

/** After a batch or a page that failed: 1, 2, 4 … 30 s. */
export const BACKOFF: RetryPolicy = {
  max: 0,
  strategy: "exponential",
  baseDelay: 1000,
  maxDelay: 30_000,
  jitter: 0,
};

/** A runner begins no further batch after this, ms: the action has its time limit. */
export const RUN_MS = 60_000;

/** A declaration in code that changed is taken over at most this often, ms. */
export const DECLARE_MS = 60_000;

/** Entries of history that are kept for one batch id. */
export const HISTORY_MAX = 1000;

/** Dead letters that one call adds again: each may have a megabyte. */
export const REDRIVE_MAX = 100;

/** Attempts of an iterator's `onComplete` that throws. */
export const CALLBACK_ATTEMPTS_MAX = 10;

/** Jobs or entries that one call lists. */
export const LIST_MAX = 1000;
