/** The state machine of an iterator's job: pending → running ⇄ paused → completed | failed. */
import { watchDelayMs } from "../base/watch.js";
import { internal } from "./_generated/api.js";
import type { Doc } from "./_generated/dataModel.js";
import type { MutationCtx, QueryCtx } from "./_generated/server.js";
import { ensureSweep } from "./sweep.js";

export function jobOf(ctx: QueryCtx, jobId: string): Promise<Doc<"jobs"> | null> {
  return ctx.db
    .query("jobs")
    .withIndex("by_job_id", (q) => q.eq("jobId", jobId))
    .unique();
}

/** What a page, or a caller, leaves for the next page. */
interface Changes {
  readonly status?: Doc<"jobs">["status"];
  readonly cursor?: string;
  readonly processedCount?: number;
  readonly retryCount?: number;
  readonly errorMessage?: string | undefined;
  readonly lastRunAt?: number;
  readonly pageSize?: number;
  readonly pageMax?: number;
}

/** When the row of a job that ends now may go, where that was asked for. */
export async function expiryOf(
  ctx: MutationCtx,
  { config: { ttl } }: Doc<"jobs">,
): Promise<{ expiresAt?: number }> {
  if (ttl === undefined) return {};
  await ensureSweep(ctx, [ttl]);
  return { expiresAt: Date.now() + ttl };
}

/** Schedules the next page under a new token, and its watch. */
export async function schedulePage(
  ctx: MutationCtx,
  job: Doc<"jobs">,
  delayMs: number,
  changes: Changes = {},
): Promise<void> {
  const token = job.token + 1;
  const runAt = Date.now() + delayMs;
  const { config } = job;
  const cursor = changes.cursor ?? job.cursor;
  const pageSize = changes.pageSize ?? job.pageSize;
  const { maxBatchSize } = config;
  const run = await ctx.scheduler.runAt(runAt, internal.pages.run, {
    job: job._id,
    token,
    getNextBatch: config.getNextBatch,
    processBatch: config.processBatch,
    batchSize: pageSize ?? config.batchSize,
    isMeasured: maxBatchSize !== undefined && maxBatchSize > config.batchSize,
    ...(cursor === undefined ? {} : { cursor }),
  });
  const watch = await ctx.scheduler.runAt(runAt + watchDelayMs(0), internal.pages.look, {
    job: job._id,
    token,
    look: 0,
  });
  await ctx.db.patch("jobs", job._id, { ...changes, token, run, runAt, watch });
}

/** What of a job is over when no page of it is scheduled. */
export const NO_PAGE = { run: undefined, watch: undefined };

/**
 * Cancels a page that is not due yet, and its watch. False when the page is due: it may run, and
 * its checkpoint is waited for.
 */
export async function cancelPage(ctx: MutationCtx, job: Doc<"jobs">): Promise<boolean> {
  if (job.run === undefined) return true;
  if (job.runAt <= Date.now()) return false;
  await ctx.scheduler.cancel(job.run);
  if (job.watch !== undefined) await ctx.scheduler.cancel(job.watch);
  return true;
}
