/** What the accumulator and the iterator take, and what they tell. */
import type { FunctionReference, FunctionVisibility } from "convex/server";

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
  /** Called with each batch. One that throws gets the same batch again, after 1, 2, 4 … 30 s. */
  processBatch: FunctionReference<"action", FunctionVisibility, { items: T[] }>;
  /**
   * Attempts of a batch before it is halved, down to the items that fail: those become dead
   * letters. Default: no limit, the batch is tried again until it succeeds.
   */
  maxAttempts?: number;
}

export type BatchStatus = "accumulating" | "flushing" | "completed";

export interface BatchResult {
  batchId: string;
  /** Items of this call. */
  itemCount: number;
  flushed: boolean;
  status: BatchStatus;
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
  /** A batch that waits for another attempt is "accumulating" again. */
  batches: {
    status: "accumulating" | "flushing";
    itemCount: number;
    createdAt: number;
    lastUpdatedAt: number;
  }[];
  config: { maxBatchSize?: number; flushIntervalMs: number };
}

export interface FlushHistoryItem {
  batchId: string;
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
}
