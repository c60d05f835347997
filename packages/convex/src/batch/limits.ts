/** The batch component's limits and delays, each with its reason. */
import type { RetryPolicy } from "../core/retry.js";

/** Items of a batch when no maximum was declared: an array of arguments ends at 8,192. */
export const BATCH_ITEMS_MAX = 1000;

/** Items of a batch whose items have keys: each is a query, of which a transaction has 4,096. */
export const KEYED_ITEMS_MAX = 1000;

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

/** Entries of history that are kept for one group. */
export const HISTORY_MAX = 1000;

/** How long an entry of history is kept when nothing else was declared, ms: 30 days. */
export const HISTORY_MS = 30 * 24 * 3_600_000;

/** How long the row of a group that has a key stays when nothing waits in it, ms: a day. */
export const IDLE_GROUP_MS = 24 * 3_600_000;

/** Shortest time between two sweeps, ms. A row outlives its time by this at most. */
export const SWEEP_MS = 3_600_000;

/** Longest time until a sweep, ms: one that was cancelled by hand is missed for no longer. */
export const SWEEP_MS_MAX = 7 * 24 * 3_600_000;

/** Rows that one sweep deletes of each table, and dead letters, of up to a megabyte each. */
export const SWEEP_ROWS = 200;
export const SWEEP_DEAD = 4;

/** Bytes of dead letters that one call reads: what it deletes and adds again is read twice. */
export const DEAD_BYTES_MAX = 3 * 1024 * 1024;

/** Groups that one transaction goes through; another one follows. */
export const GROUPS_PAGE = 50;

/** While it is busy, a group reports once in this time, ms. */
export const REPORT_MS = 60_000;

/** Attempts of an iterator's `onComplete` that throws. */
export const CALLBACK_ATTEMPTS_MAX = 10;

/** Jobs or entries that one call lists. */
export const LIST_MAX = 1000;
