/** What callers reach: the accumulator. */
import { ConvexError, v } from "convex/values";
import { vValue } from "../base/values.js";
import { internal } from "./_generated/api.js";
import { mutation, query, type MutationCtx } from "./_generated/server.js";
import { create, dueOf, start, store, unknown } from "./add.js";
import { arm, disarm, firstFlush, groupOf, runnerOf } from "./groups.js";
import { DECLARE_MS, HEADERS_MAX, HISTORY_MAX, LIST_MAX } from "./limits.js";
import { vActive, vBatchConfig, vDeleted, vFlushed } from "./validators.js";

/** Stores items. Mostly, it writes nothing but them. */
export const addItems = mutation({
  args: { batchId: v.string(), items: v.array(vValue), config: vBatchConfig },
  returns: v.null(),
  handler: async (ctx, { batchId, items, config }) => {
    if (items.length === 0) return null;
    const known = await groupOf(ctx, batchId);
    const group = known ?? (await create(ctx, batchId, config));
    const isFull = items.length >= (config.threshold ?? Number.POSITIVE_INFINITY);
    await store(ctx, group, { items, config, isFull });
    const changed = JSON.stringify(group.config) !== JSON.stringify(config);
    const now = Date.now();
    const declared = changed ? { config, declaredAt: now } : {};
    if (group.state === "idle") {
      await ctx.db.patch("groups", group._id, { ...declared, state: "awake" });
      await start(ctx, group, isFull ? now : dueOf(config, now));
      return null;
    }
    if (changed && now - group.declaredAt >= DECLARE_MS) {
      await ctx.db.patch("groups", group._id, declared);
    }
    // Nobody counts. Of many small adds that fill a batch together, one in a batch looks.
    const share = items.length / (config.threshold ?? Number.POSITIVE_INFINITY);
    if (isFull || Math.random() < share) {
      await ctx.scheduler.runAfter(0, internal.watch.hurry, { group: group._id });
    }
    return null;
  },
});

/** Flushes what was added so far, now. Throws `BATCH_UNKNOWN` for an id never added to. */
export const flush = mutation({
  args: { batchId: v.string() },
  returns: v.object({ itemCount: v.number(), isFlushing: v.boolean() }),
  handler: async (ctx, { batchId }) => {
    const group = await groupOf(ctx, batchId);
    const runner = group === null ? null : await runnerOf(ctx, group._id);
    if (group === null || runner === null) throw new ConvexError(unknown(batchId));
    const failed = await firstFlush(ctx, group._id);
    const headers = await ctx.db
      .query("headers")
      .withIndex("by_inbox", (q) => q.eq("group", group._id))
      .take(HEADERS_MAX);
    const waiting = headers.reduce((sum, { count, from }) => sum + count - from, 0);
    const itemCount = waiting + (failed?.count ?? 0);
    const isFlushing = runner.state === "running";
    if (itemCount === 0) return { itemCount, isFlushing };
    const flushedTo = Date.now();
    if (failed !== null) await ctx.db.patch("flushes", failed._id, { retryAt: 0 });
    if (isFlushing) await ctx.db.patch("runners", runner._id, { flushedTo });
    else await arm(ctx, runner, 0, { flushedTo });
    return { itemCount, isFlushing };
  },
});

/** What waits and what is being flushed; `null` for an id that nothing was added to. */
export const getBatchStatus = query({
  args: { batchId: v.string() },
  returns: v.union(v.null(), v.object({ batches: v.array(vActive), config: vBatchConfig })),
  handler: async (ctx, { batchId }) => {
    const group = await groupOf(ctx, batchId);
    const runner = group === null ? null : await runnerOf(ctx, group._id);
    if (group === null || runner === null) return null;
    const flush = await firstFlush(ctx, group._id);
    const headers = await ctx.db
      .query("headers")
      .withIndex("by_inbox", (q) => q.eq("group", group._id))
      .take(HEADERS_MAX);
    const batches = [];
    if (flush !== null) {
      const status = runner.state === "running" ? ("flushing" as const) : ("accumulating" as const);
      const { count: itemCount, createdAt, startedAt: lastUpdatedAt } = flush;
      batches.push({ status, itemCount, createdAt, lastUpdatedAt });
    }
    const [first] = headers;
    if (first !== undefined) {
      batches.push({
        status: "accumulating" as const,
        itemCount: headers.reduce((sum, { count, from }) => sum + count - from, 0),
        createdAt: first.addedAt,
        lastUpdatedAt: headers.at(-1)?.addedAt ?? first.addedAt,
      });
    }
    return { batches, config: group.config };
  },
});

/** The latest flushes of a batch id, newest first; 100 by default, and at most 1,000. */
export const getFlushHistory = query({
  args: { batchId: v.string(), limit: v.optional(v.number()) },
  returns: v.array(vFlushed),
  handler: async (ctx, { batchId, limit = 100 }) => {
    const rows = await ctx.db
      .query("history")
      .withIndex("by_entry", (q) => q.eq("batchId", batchId))
      .order("desc")
      .take(Math.min(Math.max(Math.trunc(limit), 0), LIST_MAX));
    return rows.map(({ itemCount, flushedAt, durationMs, success, errorMessage }) => ({
      batchId,
      itemCount,
      flushedAt,
      durationMs,
      success,
      ...(errorMessage === undefined ? {} : { errorMessage }),
    }));
  },
});

/** Deletes an id that nothing waits for, with its history. Dead letters stay. */
export const deleteBatch = mutation({
  args: { batchId: v.string() },
  returns: vDeleted,
  handler: async (ctx, { batchId }) => {
    const group = await groupOf(ctx, batchId);
    if (group === null) return { deleted: false, reason: "Batch not found" };
    const header = await ctx.db
      .query("headers")
      .withIndex("by_inbox", (q) => q.eq("group", group._id))
      .first();
    if (header !== null) return { deleted: false, reason: "Items are waiting: flush them first" };
    if ((await firstFlush(ctx, group._id)) !== null) {
      return { deleted: false, reason: "A flush of it is not over" };
    }
    const runner = await runnerOf(ctx, group._id);
    if (runner !== null) {
      await disarm(ctx, runner);
      await ctx.db.delete("runners", runner._id);
    }
    await ctx.db.delete("groups", group._id);
    await forget(ctx, batchId);
    return { deleted: true };
  },
});

async function forget(ctx: MutationCtx, batchId: string): Promise<void> {
  const rows = await ctx.db
    .query("history")
    .withIndex("by_entry", (q) => q.eq("batchId", batchId))
    .take(HISTORY_MAX);
  for (const { _id } of rows) await ctx.db.delete("history", _id);
}
