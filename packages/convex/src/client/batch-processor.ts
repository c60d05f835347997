/** The accumulator and the iterator, as apps call them. */
import type { Value } from "convex/values";
import { ConvexError } from "convex/values";
import type { ComponentApi } from "../batch/_generated/component.js";
import { BATCH_ITEMS_MAX } from "../batch/limits.js";
import { checkConfig, checkJob, storedJobOf, storedOf, type JobOverride } from "./batch-config.js";
import type {
  BatchConfig,
  BatchExplanation,
  BatchListItem,
  BatchOverride,
  BatchResult,
  BatchStatusResult,
  DeadLetter,
  DeadLetterQuery,
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

/** `components.<name>` of an installed batch component. */
export type BatchComponent = ComponentApi;

/** Collects items into batches, and walks through tables page by page. */
export class BatchProcessor<T = unknown> {
  readonly component: BatchComponent;
  readonly config: BatchConfig<T> | undefined;

  /** The configuration is needed for `addItems` only. Throws `OPTION_INVALID`. */
  constructor(component: BatchComponent, config?: BatchConfig<T>) {
    if (config !== undefined) checkConfig(config);
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
    const { groupBy, deduplicateBy } = config;
    const left = await ctx.runMutation(this.component.lib.addItems, {
      batchId,
      items: items as Value[],
      config: await storedOf(config),
      ...(groupBy ? { groupKeys: items.map(groupBy) } : {}),
      ...(deduplicateBy ? { keys: items.map((item) => deduplicateBy(item) ?? null) } : {}),
    });
    return {
      batchId,
      itemCount: items.length,
      flushed: false,
      status: "accumulating",
      ...(left === 0 ? {} : { duplicates: left }),
    };
  }

  /**
   * Flushes what was added so far, in one group or in all. `flushed` means that it was scheduled.
   * Throws `BATCH_UNKNOWN` for an id that nothing was ever added to, and `PAUSED`.
   */
  async flush(ctx: RunMutationCtx, batchId: string, groupKey?: string): Promise<FlushResult> {
    const args = groupKey === undefined ? { batchId } : { batchId, groupKey };
    const { itemCount } = await ctx.runMutation(this.component.lib.flush, args);
    return itemCount === 0
      ? { batchId, itemCount, flushed: false, reason: "Nothing to flush" }
      : { batchId, itemCount, flushed: true, status: "flushing" };
  }

  /** What waits and what is being flushed; `null` for an id that nothing was added to. */
  async getBatchStatus(ctx: RunQueryCtx, batchId: string): Promise<BatchStatusResult | null> {
    const found = await ctx.runQuery(this.component.lib.getBatchStatus, { batchId });
    if (found === null) return null;
    const { maxBatchSize = BATCH_ITEMS_MAX, threshold, flushIntervalMs } = found.config;
    return {
      batchId,
      batches: found.batches,
      config: {
        maxBatchSize,
        ...(threshold === undefined ? {} : { immediateFlushThreshold: threshold }),
        flushIntervalMs,
      },
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

  /** Stops flushing a batch id, all of its groups. Items are taken as before, and wait. */
  async pause(ctx: RunMutationCtx, batchId: string): Promise<void> {
    await ctx.runMutation(this.component.config.pause, { batchId });
  }

  /** Flushes a batch id again. */
  async resume(ctx: RunMutationCtx, batchId: string): Promise<void> {
    await ctx.runMutation(this.component.config.resume, { batchId });
  }

  /** Changes options at run time. They win over those in code. Throws `OPTION_INVALID`. */
  async update(ctx: RunMutationCtx, batchId: string, options: BatchOverride): Promise<void> {
    await ctx.runMutation(this.component.config.update, { batchId, ...options });
  }

  /** Why what waits in a group is not flushed yet, and when it will be. */
  explain(ctx: RunQueryCtx, batchId: string, groupKey?: string): Promise<BatchExplanation> {
    const args = groupKey === undefined ? { batchId } : { batchId, groupKey };
    return ctx.runQuery(this.component.view.explain, args);
  }

  /** Batch ids and their groups; 100 by default. */
  listBatches(
    ctx: RunQueryCtx,
    options: { batchId?: string; limit?: number } = {},
  ): Promise<BatchListItem[]> {
    return ctx.runQuery(this.component.view.list, options);
  }

  /** Items that were out of attempts, oldest first. */
  async deadLetters(
    ctx: RunQueryCtx,
    batchId: string,
    options: DeadLetterQuery = {},
  ): Promise<DeadLetter<T>[]> {
    const letters = await ctx.runQuery(this.component.dead.list, { batchId, ...options });
    return letters;
  }

  /** Adds dead letters again, to be flushed at once. Returns how many. */
  redrive(ctx: RunMutationCtx, batchId: string, options: DeadLetterQuery = {}): Promise<number> {
    return ctx.runMutation(this.component.dead.redrive, { batchId, ...options });
  }

  /** Deletes dead letters. Returns how many. */
  discard(ctx: RunMutationCtx, batchId: string, options: DeadLetterQuery = {}): Promise<number> {
    return ctx.runMutation(this.component.dead.discard, { batchId, ...options });
  }

  /** Starts a job: page after page of `getNextBatch` goes to `processBatch`. */
  async startIterator<Item = unknown>(
    ctx: RunMutationCtx,
    jobId: string,
    config: IteratorConfig<Item>,
  ): Promise<JobResult> {
    return ctx.runMutation(this.component.iterator.start, {
      jobId,
      config: await storedJobOf(config as IteratorConfig),
    });
  }

  /** Pauses a running job. A page that runs ends, and its progress counts. */
  pauseIterator(ctx: RunMutationCtx, jobId: string): Promise<JobResult> {
    return ctx.runMutation(this.component.iterator.pause, { jobId });
  }

  /** Resumes a paused job; of a completed one, an `onComplete` that was given up. */
  resumeIterator(ctx: RunMutationCtx, jobId: string): Promise<JobResult> {
    return ctx.runMutation(this.component.iterator.resume, { jobId });
  }

  /** Cancels a job that is not over; its status is "failed", with `cancelled: true`. */
  cancelIterator(ctx: RunMutationCtx, jobId: string): Promise<JobResult> {
    return ctx.runMutation(this.component.iterator.cancel, { jobId });
  }

  /** Changes how a job that is not over goes on, from its next page. Throws `OPTION_INVALID`. */
  async updateIterator(ctx: RunMutationCtx, jobId: string, options: JobOverride): Promise<void> {
    checkJob(options);
    await ctx.runMutation(this.component.iterator.update, { jobId, ...options });
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
