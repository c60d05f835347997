/** What callers reach: the iterator. */
import { ConvexError, v } from "convex/values";
import { internal } from "./_generated/api.js";
import type { Doc } from "./_generated/dataModel.js";
import { mutation, query, type MutationCtx } from "./_generated/server.js";
import { NO_PAGE, cancelPage, expiryOf, jobOf, schedulePage } from "./jobs.js";
import { CALLBACK_ATTEMPTS_MAX, LIST_MAX } from "./limits.js";
import { vDeleted, vJobConfig, vJobStatus } from "./validators.js";

const vJobResult = v.object({
  jobId: v.string(),
  status: vJobStatus,
  reason: v.optional(v.string()),
});

const vListed = v.object({
  jobId: v.string(),
  status: vJobStatus,
  cancelled: v.optional(v.boolean()),
  processedCount: v.number(),
  createdAt: v.number(),
  lastRunAt: v.optional(v.number()),
  errorMessage: v.optional(v.string()),
});

const vDetail = v.object({
  ...vListed.fields,
  cursor: v.optional(v.string()),
  retryCount: v.number(),
  pageAt: v.optional(v.number()),
  config: v.object({ batchSize: v.number(), delayBetweenBatchesMs: v.number() }),
});

/** Starts a job. Throws `JOB_EXISTS` when the id was used and not deleted. */
export const start = mutation({
  args: { jobId: v.string(), config: vJobConfig },
  returns: vJobResult,
  handler: async (ctx, { jobId, config }) => {
    if ((await jobOf(ctx, jobId)) !== null) {
      const message = `There is a job "${jobId}" already. Delete it, or take another id.`;
      throw new ConvexError({ code: "JOB_EXISTS", field: "jobId", value: jobId, message });
    }
    const id = await ctx.db.insert("jobs", {
      jobId,
      status: "running",
      token: 0,
      runAt: 0,
      processedCount: 0,
      retryCount: 0,
      config,
    });
    await schedulePage(ctx, (await ctx.db.get("jobs", id)) as Doc<"jobs">, 0);
    return { jobId, status: "running" as const };
  },
});

/** Pauses a running job. A page that runs ends, and its progress counts. */
export const pause = mutation({
  args: { jobId: v.string() },
  returns: vJobResult,
  handler: async (ctx, { jobId }) => {
    const job = await known(ctx, jobId);
    if (job.status !== "running") return refused(job, "Only a running job can be paused");
    const over = (await cancelPage(ctx, job)) ? NO_PAGE : {};
    await ctx.db.patch("jobs", job._id, { ...over, status: "paused" });
    return { jobId, status: "paused" as const };
  },
});

/**
 * Resumes a paused job. There is one page at a time: one that still runs is the next. Of a job that
 * is completed and whose `onComplete` was given up, it is that which is tried again.
 */
export const resume = mutation({
  args: { jobId: v.string() },
  returns: vJobResult,
  handler: async (ctx, { jobId }) => {
    const job = await known(ctx, jobId);
    if (job.status === "completed" && (job.callbackAttempts ?? 0) >= CALLBACK_ATTEMPTS_MAX) {
      await ctx.db.patch("jobs", job._id, { callbackAttempts: 0 });
      await ctx.scheduler.runAfter(0, internal.pages.completed, { job: job._id });
      return { jobId, status: job.status };
    }
    if (job.status !== "paused") return refused(job, "Only a paused job can be resumed");
    if (job.run === undefined) await schedulePage(ctx, job, 0, { status: "running" });
    else await ctx.db.patch("jobs", job._id, { status: "running" });
    return { jobId, status: "running" as const };
  },
});

/** Cancels a job that is not over. A page that runs is superseded: its end changes nothing. */
export const cancel = mutation({
  args: { jobId: v.string() },
  returns: vJobResult,
  handler: async (ctx, { jobId }) => {
    const job = await known(ctx, jobId);
    if (job.status === "completed" || job.status === "failed") {
      return refused(job, "The job is over");
    }
    const isOff = await cancelPage(ctx, job);
    if (!isOff && job.watch !== undefined) await ctx.scheduler.cancel(job.watch);
    await ctx.db.patch("jobs", job._id, {
      ...NO_PAGE,
      ...(await expiryOf(ctx, job)),
      token: job.token + 1,
      status: "failed",
      cancelled: true,
      errorMessage: "Cancelled by user",
    });
    return { jobId, status: "failed" as const };
  },
});

/** Changes how a job that is not over goes on, from its next page. */
export const update = mutation({
  args: {
    jobId: v.string(),
    batchSize: v.optional(v.number()),
    delayBetweenBatchesMs: v.optional(v.number()),
    maxRetries: v.optional(v.number()),
    maxBatchSize: v.optional(v.number()),
  },
  returns: v.null(),
  handler: async (ctx, { jobId, ...changes }) => {
    const job = await known(ctx, jobId);
    const config = { ...job.config, ...changes };
    // A size that is given is the size of the next page, whatever was found out so far.
    const size = changes.batchSize === undefined ? {} : { pageSize: undefined, pageMax: undefined };
    await ctx.db.patch("jobs", job._id, { config, ...size });
    return null;
  },
});

/** Where a job is; `null` for an id that is not known. */
export const status = query({
  args: { jobId: v.string() },
  returns: v.union(v.null(), vDetail),
  handler: async (ctx, { jobId }) => {
    const job = await jobOf(ctx, jobId);
    if (job === null) return null;
    const { cursor, retryCount, config, pageSize, run, runAt } = job;
    const { batchSize, delayBetweenBatchesMs } = config;
    return {
      ...listed(job),
      retryCount,
      config: { batchSize: pageSize ?? batchSize, delayBetweenBatchesMs },
      ...(run === undefined ? {} : { pageAt: runAt }),
      ...(cursor === undefined ? {} : { cursor }),
    };
  },
});

/** Jobs, newest first; at most `limit`, 100 by default. */
export const list = query({
  args: { status: v.optional(vJobStatus), limit: v.optional(v.number()) },
  returns: v.array(vListed),
  handler: async (ctx, { status, limit = 100 }) => {
    const most = Math.min(Math.max(Math.trunc(limit), 0), LIST_MAX);
    const jobs = ctx.db.query("jobs");
    const found =
      status === undefined ? jobs : jobs.withIndex("by_status", (q) => q.eq("status", status));
    return (await found.order("desc").take(most)).map(listed);
  },
});

/** Deletes a job that is over. */
export const remove = mutation({
  args: { jobId: v.string() },
  returns: vDeleted,
  handler: async (ctx, { jobId }) => {
    const job = await jobOf(ctx, jobId);
    if (job === null) return { deleted: false, reason: "Job not found" };
    if (job.status !== "completed" && job.status !== "failed") {
      return { deleted: false, reason: `The job is ${job.status}: cancel it first` };
    }
    await ctx.db.delete("jobs", job._id);
    return { deleted: true };
  },
});

function listed(job: Doc<"jobs">): (typeof vListed)["type"] {
  const { jobId, status, cancelled, processedCount, lastRunAt, errorMessage } = job;
  return {
    jobId,
    status,
    processedCount,
    createdAt: job._creationTime,
    ...(cancelled === undefined ? {} : { cancelled }),
    ...(lastRunAt === undefined ? {} : { lastRunAt }),
    ...(errorMessage === undefined ? {} : { errorMessage }),
  };
}

function refused({ jobId, status }: Doc<"jobs">, reason: string): (typeof vJobResult)["type"] {
  return { jobId, status, reason };
}

async function known(ctx: MutationCtx, jobId: string): Promise<Doc<"jobs">> {
  const job = await jobOf(ctx, jobId);
  if (job !== null) return job;
  const message = `There is no job "${jobId}".`;
  throw new ConvexError({ code: "JOB_UNKNOWN", field: "jobId", value: jobId, message });
}
