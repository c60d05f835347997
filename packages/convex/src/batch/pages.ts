/** The pages of an iterator: each is one run with a token, and ends in one checkpoint. */
import type { FunctionHandle } from "convex/server";
import { v, type Value } from "convex/values";
import { log } from "../base/log.js";
import { errorText } from "../base/sizes.js";
import { vValue } from "../base/values.js";
import { fateOf, watchDelayMs } from "../base/watch.js";
import { retryDelayMs } from "../core/retry.js";
import { internal } from "./_generated/api.js";
import type { Doc } from "./_generated/dataModel.js";
import {
  env,
  internalAction,
  internalMutation,
  internalQuery,
  type MutationCtx,
} from "./_generated/server.js";
import { adaptedSize, shareOf } from "./adaptive.js";
import { NO_PAGE, expiryOf, schedulePage } from "./jobs.js";
import { BACKOFF, CALLBACK_ATTEMPTS_MAX } from "./limits.js";

/** What the platform says when a page was too large for it. */
const LIMIT = /\b(?:limits?|too (?:many|much|large|long)|exceed\w*)\b/iv;

/** What `getNextBatch` returns. */
interface Page {
  readonly items: unknown[];
  readonly cursor?: string | null;
  readonly done: boolean;
}

/** A page, and the largest share of what a transaction may read that asking for it took. */
export const measure = internalQuery({
  args: { getNextBatch: v.string(), batchSize: v.number(), cursor: v.optional(v.string()) },
  returns: v.object({ page: vValue, share: v.number() }),
  handler: async (ctx, { getNextBatch, ...asked }) => {
    const page = (await ctx.runQuery(getNextBatch as FunctionHandle<"query">, asked)) as Value;
    return { page, share: shareOf(await ctx.meta.getTransactionMetrics()) };
  },
});

/** Asks for a page, and processes it. It was told all it needs: no call before the first. */
export const run = internalAction({
  args: {
    job: v.id("jobs"),
    token: v.number(),
    getNextBatch: v.string(),
    processBatch: v.string(),
    batchSize: v.number(),
    cursor: v.optional(v.string()),
    /** Absent in a page that an earlier version scheduled. */
    isMeasured: v.optional(v.boolean()),
  },
  returns: v.null(),
  handler: async (ctx, { job, token, getNextBatch, processBatch, isMeasured, ...asked }) => {
    const at = { job, token };
    try {
      let share: number | undefined;
      let page: Page;
      if (isMeasured === true) {
        const measured = await ctx.runQuery(internal.pages.measure, { getNextBatch, ...asked });
        ({ share } = measured);
        page = measured.page as unknown as Page;
      } else page = (await ctx.runQuery(getNextBatch as FunctionHandle<"query">, asked)) as Page;
      const { items, done } = page;
      if (items.length > 0) {
        await ctx.runAction(processBatch as FunctionHandle<"action">, { items });
      }
      const reached = page.cursor ?? undefined;
      await ctx.runMutation(internal.pages.checkpoint, {
        ...at,
        count: items.length,
        done,
        ...(reached === undefined ? {} : { cursor: reached }),
        ...(share === undefined ? {} : { share }),
      });
    } catch (thrown) {
      await ctx.runMutation(internal.pages.failed, { ...at, error: errorText(thrown) });
    }
    return null;
  },
});

/** The page is done. A token that is not the job's belongs to a page that was superseded. */
export const checkpoint = internalMutation({
  args: {
    job: v.id("jobs"),
    token: v.number(),
    count: v.number(),
    done: v.boolean(),
    cursor: v.optional(v.string()),
    share: v.optional(v.number()),
  },
  returns: v.null(),
  handler: async (ctx, args) => {
    const job = await ctx.db.get("jobs", args.job);
    if (job?.token !== args.token) return null;
    if (job.watch !== undefined) await ctx.scheduler.cancel(job.watch);
    const progress = {
      processedCount: job.processedCount + args.count,
      retryCount: 0,
      lastRunAt: Date.now(),
      errorMessage: undefined,
      ...(args.cursor === undefined ? {} : { cursor: args.cursor }),
      ...resized(job, args),
    };
    if (args.done) {
      const over = { ...NO_PAGE, ...(await expiryOf(ctx, job)), status: "completed" as const };
      await ctx.db.patch("jobs", job._id, { ...progress, ...over });
      await complete(ctx, { ...job, processedCount: progress.processedCount });
    } else if (job.status === "running") {
      await schedulePage(ctx, job, job.config.delayBetweenBatchesMs, progress);
    } else await ctx.db.patch("jobs", job._id, { ...progress, ...NO_PAGE });
    return null;
  },
});

/** Another page size, when this one was measured and another fits better. */
function resized(
  { config, pageSize, pageMax = Number.POSITIVE_INFINITY }: Doc<"jobs">,
  { count, share }: { count: number; share?: number },
): { pageSize?: number } {
  const { batchSize, maxBatchSize } = config;
  if (share === undefined || maxBatchSize === undefined) return {};
  const size = pageSize ?? batchSize;
  const most = Math.min(maxBatchSize, pageMax);
  const adapted = adaptedSize(size, { count, share, most });
  return adapted === size ? {} : { pageSize: adapted };
}

/** The page threw. It comes again after 1, 2, 4 … 30 s, until its attempts are used up. */
export const failed = internalMutation({
  args: { job: v.id("jobs"), token: v.number(), error: v.string() },
  returns: v.null(),
  handler: async (ctx, { job: id, token, error }) => {
    const job = await ctx.db.get("jobs", id);
    if (job?.token !== token) return null;
    if (job.watch !== undefined) await ctx.scheduler.cancel(job.watch);
    await fail(ctx, job, error);
    return null;
  },
});

async function fail(ctx: MutationCtx, job: Doc<"jobs">, error: string): Promise<void> {
  const { jobId, config } = job;
  const size = job.pageSize ?? config.batchSize;
  const half = Math.floor(size / 2);
  // A page that was too large is no failed attempt as long as there is a smaller one.
  const isTooLarge = LIMIT.test(error) && size > 1;
  const retryCount = job.retryCount + (isTooLarge ? 0 : 1);
  log(env.LOG_LEVEL, "WARN", "iterator.failed", { jobId, attempts: retryCount, size, error });
  const changes = {
    retryCount,
    errorMessage: error,
    lastRunAt: Date.now(),
    ...(isTooLarge ? { pageSize: half, pageMax: half } : {}),
  };
  if (retryCount >= config.maxRetries) {
    const over = { ...NO_PAGE, ...(await expiryOf(ctx, job)), status: "failed" as const };
    await ctx.db.patch("jobs", job._id, { ...changes, ...over });
  } else if (job.status === "running") {
    await schedulePage(ctx, job, retryDelayMs(BACKOFF, Math.max(retryCount, 1), 0), changes);
  } else await ctx.db.patch("jobs", job._id, { ...changes, ...NO_PAGE });
}

/** See `base/watch.ts`. A page that is over without a checkpoint failed an attempt. */
export const look = internalMutation({
  args: { job: v.id("jobs"), token: v.number(), look: v.number() },
  returns: v.null(),
  handler: async (ctx, args) => {
    const job = await ctx.db.get("jobs", args.job);
    if (job?.token !== args.token || job.run === undefined) return null;
    if (fateOf(await ctx.db.system.get("_scheduled_functions", job.run)) === "alive") {
      const look = args.look + 1;
      const again = { ...args, look };
      const watch = await ctx.scheduler.runAfter(watchDelayMs(look), internal.pages.look, again);
      await ctx.db.patch("jobs", job._id, { watch });
      return null;
    }
    // A page that was superseded may still come back: from here on, it changes nothing.
    const fenced = { ...job, token: job.token + 1 };
    await ctx.db.patch("jobs", job._id, { token: fenced.token });
    await fail(ctx, fenced, "The run ended without a result.");
    return null;
  },
});

/** Calls `onComplete`. One that throws takes back its own writes only, and is tried again. */
async function complete(ctx: MutationCtx, job: Doc<"jobs">): Promise<void> {
  const { jobId, processedCount, config } = job;
  if (config.onComplete === undefined) return;
  try {
    const handle = config.onComplete as FunctionHandle<"mutation">;
    await ctx.runMutation(handle, { jobId, processedCount });
    await ctx.db.patch("jobs", job._id, { errorMessage: undefined, callbackAttempts: undefined });
  } catch (thrown) {
    const errorMessage = errorText(thrown);
    const attempts = (job.callbackAttempts ?? 0) + 1;
    log(env.LOG_LEVEL, "ERROR", "iterator.callback_failed", { jobId, attempts, errorMessage });
    await ctx.db.patch("jobs", job._id, { errorMessage, callbackAttempts: attempts });
    if (attempts >= CALLBACK_ATTEMPTS_MAX) return;
    const delay = retryDelayMs(BACKOFF, attempts, 0);
    await ctx.scheduler.runAfter(delay, internal.pages.completed, { job: job._id });
  }
}

/** Another attempt of an `onComplete` that threw. */
export const completed = internalMutation({
  args: { job: v.id("jobs") },
  returns: v.null(),
  handler: async (ctx, args) => {
    const job = await ctx.db.get("jobs", args.job);
    if (job?.status === "completed") await complete(ctx, job);
    return null;
  },
});
