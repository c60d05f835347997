/** What apps import to use the accumulator and the iterator. */
import { createFunctionHandle } from "convex/server";
import type { Value } from "convex/values";
import { ConvexError } from "convex/values";
import type { ComponentApi } from "../batch/_generated/component.js";
import type {
  BatchConfig,
  BatchResult,
  BatchStatusResult,
  DeleteResult,
  FlushHistoryItem,
  FlushResult,
  IteratorConfig,
  JobListItem,
  JobResult,
  JobStatus,
  JobStatusResult,
} from "./batch-contract.js";
import type { RunMutationCtx, RunQueryCtx } from "./contexts.js";

export type { LogLevel } from "../base/log.js";
export type {
  BatchConfig,
  BatchResult,
  BatchStatus,
  BatchStatusResult,
  DeleteResult,
  FlushHistoryItem,
  FlushResult,
  GetNextBatchArgs,
  GetNextBatchResult,
  IteratorConfig,
  JobListItem,
  JobResult,
  JobStatus,
  JobStatusResult,
  OnCompleteArgs as IteratorOnCompleteArgs,
  ProcessBatchArgs,
} from "./batch-contract.js";

/** `components.<name>` of an installed batch component. */
export type BatchComponent = ComponentApi;

type StoredConfig = ComponentApi["lib"]["addItems"]["_args"]["config"];

/** How often a page is tried, and how long the next one waits, when nothing else is said. */
const MAX_RETRIES = 5;
const DELAY_MS = 100;

/** Collects items into batches, and walks through tables page by page. */
export class BatchProcessor<T = unknown> {
  readonly component: BatchComponent;
  readonly config: BatchConfig<T> | undefined;

  /** The configuration is needed for `addItems` only. Throws `OPTION_INVALID`. */
  constructor(component: BatchComponent, config?: BatchConfig<T>) {
    if (config !== undefined) check(config);
    this.component = component;
    this.config = config;
  }

  /**
   * Adds items to the batch of an id. They are flushed when `maxBatchSize` of them wait, when the
   * first of them has waited `flushIntervalMs`, or at once when one call fills a batch.
   */
  async addItems(ctx: RunMutationCtx, batchId: string, items: T[]): Promise<BatchResult> {
    const { config } = this;
    if (config === undefined) {
      const message =
        "addItems needs a configuration: pass one to new BatchProcessor(component, …).";
      throw new ConvexError({ code: "OPTION_INVALID", field: "config", message });
    }
    const stored = await storedOf(config);
    await ctx.runMutation(this.component.lib.addItems, {
      batchId,
      items: items as Value[],
      config: stored,
    });
    return { batchId, itemCount: items.length, flushed: false, status: "accumulating" };
  }

  /** Flushes what was added so far. `flushed` means that it was scheduled. */
  async flush(ctx: RunMutationCtx, batchId: string): Promise<FlushResult> {
    const { itemCount } = await ctx.runMutation(this.component.lib.flush, { batchId });
    return itemCount === 0
      ? { batchId, itemCount, flushed: false, reason: "Nothing to flush" }
      : { batchId, itemCount, flushed: true, status: "flushing" };
  }

  /** What waits and what is being flushed; `null` for an id that nothing was added to. */
  async getBatchStatus(ctx: RunQueryCtx, batchId: string): Promise<BatchStatusResult | null> {
    const found = await ctx.runQuery(this.component.lib.getBatchStatus, { batchId });
    if (found === null) return null;
    const { maxBatchSize, threshold, flushIntervalMs } = found.config;
    const size = maxBatchSize ?? threshold;
    return {
      batchId,
      batches: found.batches,
      config: { ...(size === undefined ? {} : { maxBatchSize: size }), flushIntervalMs },
    };
  }

  /** The latest flushes, newest first; 100 by default. The last 1,000 are kept. */
  getFlushHistory(ctx: RunQueryCtx, batchId: string, limit?: number): Promise<FlushHistoryItem[]> {
    const args = limit === undefined ? { batchId } : { batchId, limit };
    return ctx.runQuery(this.component.lib.getFlushHistory, args);
  }

  /** Deletes an id that nothing waits for, with its history. */
  deleteBatch(ctx: RunMutationCtx, batchId: string): Promise<DeleteResult> {
    return ctx.runMutation(this.component.lib.deleteBatch, { batchId });
  }

  /** Starts a job: page after page of `getNextBatch` goes to `processBatch`. */
  async startIterator<Item = unknown>(
    ctx: RunMutationCtx,
    jobId: string,
    config: IteratorConfig<Item>,
  ): Promise<JobResult> {
    const { batchSize, delayBetweenBatchesMs = DELAY_MS, maxRetries = MAX_RETRIES } = config;
    checkCount("batchSize", batchSize, 1);
    checkCount("maxRetries", maxRetries, 1);
    const { onComplete } = config;
    return ctx.runMutation(this.component.iterator.start, {
      jobId,
      config: {
        batchSize,
        delayBetweenBatchesMs,
        maxRetries,
        getNextBatch: await createFunctionHandle(config.getNextBatch),
        processBatch: await createFunctionHandle(config.processBatch),
        ...(onComplete ? { onComplete: await createFunctionHandle(onComplete) } : {}),
      },
    });
  }

  /** Pauses a running job. A page that runs ends, and its progress counts. */
  pauseIterator(ctx: RunMutationCtx, jobId: string): Promise<JobResult> {
    return ctx.runMutation(this.component.iterator.pause, { jobId });
  }

  /** Resumes a paused job. */
  resumeIterator(ctx: RunMutationCtx, jobId: string): Promise<JobResult> {
    return ctx.runMutation(this.component.iterator.resume, { jobId });
  }

  /** Cancels a job that is not over; its status is "failed", with `cancelled: true`. */
  cancelIterator(ctx: RunMutationCtx, jobId: string): Promise<JobResult> {
    return ctx.runMutation(this.component.iterator.cancel, { jobId });
  }

  /** Where a job is; `null` for an id that is not known. */
  getIteratorStatus(ctx: RunQueryCtx, jobId: string): Promise<JobStatusResult | null> {
    return ctx.runQuery(this.component.iterator.status, { jobId });
  }

  /** Jobs, newest first; 100 by default. A status that is none finds none. */
  async listIteratorJobs(
    ctx: RunQueryCtx,
    options: { status?: string | undefined; limit?: number | undefined } = {},
  ): Promise<JobListItem[]> {
    const { status, limit } = options;
    if (status !== undefined && !STATUSES.has(status)) return [];
    return ctx.runQuery(this.component.iterator.list, {
      ...(status === undefined ? {} : { status: status as JobStatus }),
      ...(limit === undefined ? {} : { limit }),
    });
  }

  /** Deletes a job that is over. */
  deleteIteratorJob(ctx: RunMutationCtx, jobId: string): Promise<DeleteResult> {
    return ctx.runMutation(this.component.iterator.remove, { jobId });
  }
}

const STATUSES = new Set<string>(["pending", "running", "paused", "completed", "failed"]);

async function storedOf(config: BatchConfig): Promise<StoredConfig> {
  const { maxBatchSize, immediateFlushThreshold, flushIntervalMs, maxAttempts } = config;
  const threshold = immediateFlushThreshold ?? maxBatchSize;
  return {
    processBatch: await createFunctionHandle(config.processBatch),
    flushIntervalMs,
    ...(threshold === undefined ? {} : { threshold }),
    ...(maxBatchSize === undefined ? {} : { maxBatchSize }),
    ...(maxAttempts === undefined ? {} : { maxAttempts }),
  };
}

function check(config: Omit<BatchConfig, "processBatch">): void {
  const { maxBatchSize, immediateFlushThreshold, flushIntervalMs, maxAttempts } = config;
  checkCount("maxBatchSize", maxBatchSize, 1, 8192);
  checkCount("immediateFlushThreshold", immediateFlushThreshold, 1);
  checkCount("maxAttempts", maxAttempts, 1);
  checkCount("flushIntervalMs", flushIntervalMs, 0);
}

function checkCount(
  field: string,
  value: number | undefined,
  least: number,
  most = Number.MAX_SAFE_INTEGER,
): void {
  if (value === undefined) return;
  if (Number.isInteger(value) && value >= least && value <= most) return;
  const range = most === Number.MAX_SAFE_INTEGER ? `from ${least}` : `from ${least} to ${most}`;
  const message = `${field} must be a whole number ${range}, not ${value}.`;
  throw new ConvexError({ code: "OPTION_INVALID", field, value: String(value), message });
}
