/** What the accumulator and the iterator take, and what they tell. */
import type { FunctionReference, FunctionVisibility } from "convex/server";

/** Delays after attempts that failed: `baseDelay`, doubled each time, never above `maxDelay`. */
export interface Backoff {
  /** Delay after the first failed attempt, ms. */
  baseDelay: number;
  /** Longest delay, ms. */
  maxDelay: number;
}

/** How often a group may be flushed: a sliding window, in which failed attempts count too. */
export interface Throttle {
  /** Most flushes of a group in any `duration`, 1 to 1,000. */
  max: number;
  /** Length of the window, ms. */
  duration: number;
}

/** How items become batches. */
export interface BatchConfig<T = unknown> {
  /**
   * Items that are flushed at once when they wait, and the most of one flush; 1 to 8,192. Default:
   * flushed by time only, 1,000 at most.
   */
  maxBatchSize?: number;
  /** Items that are flushed at once when they wait. Default: `maxBatchSize`. */
  immediateFlushThreshold?: number;
  /** How long an item waits at most, ms. 0: until a batch is full, or `flush`. */
  flushIntervalMs: number;
  /**
   * Called with each batch. One that throws gets the same batch again, after 1, 2, 4 … 30 s. One
   * that returns `failItems([…])` gets those items again; all others are done.
   */
  processBatch: FunctionReference<"action", FunctionVisibility, { items: T[] }>;
  /**
   * Attempts of a batch before it is halved, down to the items that fail: those become dead
   * letters. Default: no limit, the batch is tried again until it succeeds.
   */
  maxAttempts?: number;
  /** Delays after failed attempts. Default: `{ baseDelay: 1000, maxDelay: 30_000 }`. */
  backoff?: Backoff;
  /** Default: none. */
  throttle?: Throttle;
  /**
   * The group of an item. Groups of a batch id share nothing but its settings: each fills, is
   * flushed, fails and waits by itself, one batch at a time and in its own order. A group in which
   * nothing waits is forgotten after a day. Default: one group for all items.
   */
  groupBy?: (item: T) => string;
  /**
   * The key of an item. An item is left out when another one with its key waits in its group; once
   * that one is flushed, the key is free again. `undefined`: the item has none. With it, a batch
   * has 1,000 items at most. Default: nothing is left out.
   */
  deduplicateBy?: (item: T) => string | undefined;
  /** The key of an item stays taken this long after it was added, ms. Default 0: while it waits. */
  deduplicateFor?: number;
  /** How long an entry of the history is kept, ms; the latest 1,000 of a group. Default 30 days. */
  historyTtl?: number;
  /** How long a dead letter is kept, ms. Default: until it is redriven or discarded. */
  deadLetterTtl?: number;
}

/** What can be changed at run time: `null` takes it back, what is absent stays as it is. */
export type BatchOverride = {
  [
    Option in
      | "maxBatchSize"
      | "immediateFlushThreshold"
      | "flushIntervalMs"
      | "maxAttempts"
      | "backoff"
      | "throttle"
  ]?: NonNullable<BatchConfig[Option]> | null;
};

/** Which dead letters: those of some ids, or the oldest. */
export interface DeadLetterQuery {
  ids?: string[];
  /** Default 100; fewer than asked for when they are large. */
  limit?: number;
}

/** An item that was out of attempts. */
export interface DeadLetter<T = unknown> {
  id: string;
  item: T;
  /** Why its last attempt failed. */
  error: string;
  /** When it became a dead letter, ms since the epoch. */
  at: number;
  groupKey?: string;
}

/** Why something is not flushed yet. */
export interface BatchExplanation {
  /** Items that are not done; those of the latest 500 calls. */
  waiting: number;
  waitsFor:
    | "nothing"
    | "size or time"
    | "size or flush"
    | "paused"
    | "backoff"
    | "throttle"
    | "its handler"
    | "next look";
  /** When it is flushed if nothing more is added, ms since the epoch; `null`: not by time. */
  nextFlushAt: number | null;
  /** Failed attempts of the batch that is next. */
  attempts: number;
  /** The same for people. May be worded otherwise in any version. */
  text: string;
}

/** A group, or a batch id without groups. */
export interface BatchListItem {
  batchId: string;
  groupKey?: string;
  /** "awake": something waits in it, or is being flushed. */
  state: "idle" | "awake" | "paused";
}

export type BatchStatus = "accumulating" | "flushing" | "completed";

export interface BatchResult {
  batchId: string;
  /** Items of this call. */
  itemCount: number;
  flushed: boolean;
  status: BatchStatus;
  /** Items of this call that were left out, because another one had their key. */
  duplicates?: number;
}

export interface FlushResult {
  batchId: string;
  itemCount: number;
  /** The flush was scheduled. */
  flushed: boolean;
  status?: BatchStatus;
  reason?: string;
}

export interface BatchStatusResult {
  batchId: string;
  /** A batch that waits for another attempt is "accumulating" again. Of 50 groups at most. */
  batches: {
    groupKey?: string;
    status: "accumulating" | "flushing";
    itemCount: number;
    createdAt: number;
    lastUpdatedAt: number;
  }[];
  /** As in force. */
  config: { maxBatchSize: number; immediateFlushThreshold?: number; flushIntervalMs: number };
}

export interface FlushHistoryItem {
  batchId: string;
  groupKey?: string;
  itemCount: number;
  flushedAt: number;
  durationMs: number;
  success: boolean;
  errorMessage?: string;
}

export interface DeleteResult {
  deleted: boolean;
  reason?: string;
}

export type JobStatus = "pending" | "running" | "paused" | "completed" | "failed";

export interface JobResult {
  jobId: string;
  status: JobStatus;
  /** Why nothing changed. */
  reason?: string;
}

export interface JobListItem {
  jobId: string;
  status: JobStatus;
  /** It failed because it was cancelled. */
  cancelled?: boolean;
  processedCount: number;
  createdAt: number;
  lastRunAt?: number;
  errorMessage?: string;
}

export interface JobStatusResult extends JobListItem {
  cursor?: string;
  /** Attempts of the present page that failed. */
  retryCount: number;
  /** When the page that is scheduled or runs was due, ms since the epoch. */
  pageAt?: number;
  /** As in force: a page that broke a limit of the platform is halved. */
  config: { batchSize: number; delayBetweenBatchesMs: number };
}

// Arguments of a function need an index signature, which an interface does not have.
/* oxlint-disable typescript/consistent-type-definitions */

export type GetNextBatchArgs = { cursor?: string | undefined; batchSize: number };

export type GetNextBatchResult<T = unknown> = {
  items: T[];
  cursor?: string | undefined;
  done: boolean;
};

export type ProcessBatchArgs<T = unknown> = { items: T[] };

export type OnCompleteArgs = { jobId: string; processedCount: number };

/* oxlint-enable typescript/consistent-type-definitions */

/** A walk through a table, page by page. */
export interface IteratorConfig<T = unknown> {
  /** Items of a page. */
  batchSize: number;
  /** Delay between two pages, ms. Default 100. */
  delayBetweenBatchesMs?: number;
  getNextBatch: FunctionReference<"query", FunctionVisibility, GetNextBatchArgs>;
  processBatch: FunctionReference<"action", FunctionVisibility, { items: T[] }>;
  /** Called once, in the transaction that ends the job; tried again on its own when it throws. */
  onComplete?: FunctionReference<"mutation", FunctionVisibility, OnCompleteArgs>;
  /** Attempts of a page, in all. Default 5. */
  maxRetries?: number;
  /**
   * Pages grow up to this as long as `getNextBatch` uses less than a quarter of what a transaction
   * may read, and shrink above half of it; each page costs one more call then. Default:
   * `batchSize`, pages never grow. Pages that break a limit are halved in any case.
   */
  maxBatchSize?: number;
  /** How long the row of a job that is over is kept, ms. Default: until it is deleted. */
  ttl?: number;
}
