/** What callers reach: the accumulator. */
import { ConvexError, v, type Value } from "convex/values";
import { vValue } from "../base/values.js";
import { internal } from "./_generated/api.js";
import type { Doc } from "./_generated/dataModel.js";
import { internalMutation, mutation, query, type MutationCtx } from "./_generated/server.js";
import { addTo, unknown } from "./add.js";
import { arm, disarm, firstFlush, groupOf, inForce, runnerOf } from "./groups.js";
import { GROUPS_PAGE, HEADERS_MAX, HISTORY_MAX, LIST_MAX } from "./limits.js";
import { pageOf, settingsOf } from "./settings.js";
import { activeOf, awakeOf, waitingOf } from "./view.js";
import { vActive, vBatchConfig, vDeleted, vFlushed } from "./validators.js";

/**
 * Stores items. Mostly, it writes nothing but them. Returns how many were left out because another
 * item had their key.
 */
export const addItems = mutation({
  args: {
    batchId: v.string(),
    items: v.array(vValue),
    config: vBatchConfig,
    /** The group of each item; absent where there is one for all. */
    groupKeys: v.optional(v.array(v.string())),
    /** The key of each item, where it has one. */
    keys: v.optional(v.array(v.union(v.string(), v.null()))),
  },
  returns: v.number(),
  handler: async (ctx, { batchId, items, config, groupKeys, keys }) => {
    const places = Map.groupBy(items.keys(), (place) => groupKeys?.[place]);
    let leftOut = 0;
    for (const [groupKey, at] of places) {
      leftOut += await addTo(ctx, { batchId, groupKey }, config, {
        items: at.map((place) => items[place] as Value),
        keys: keys && at.map((place) => keys[place] ?? null),
      });
    }
    return leftOut;
  },
});

/**
 * Flushes what was added so far, now: one group, or all of the batch id. Counts what waits in the
 * first of them. Throws `BATCH_UNKNOWN` for an id never added to, `PAUSED` for one that is paused.
 */
export const flush = mutation({
  args: { batchId: v.string(), groupKey: v.optional(v.string()) },
  returns: v.object({ itemCount: v.number(), isFlushing: v.boolean() }),
  handler: async (ctx, { batchId, groupKey }) => {
    if (!(await isKnown(ctx, batchId))) throw new ConvexError(unknown(batchId));
    if ((await settingsOf(ctx, batchId))?.paused === true) {
      const message = `The batch "${batchId}" is paused: nothing is flushed before it is resumed.`;
      throw new ConvexError({ code: "PAUSED", field: "batchId", value: batchId, message });
    }
    if (groupKey === undefined) return flushGroups(ctx, batchId, undefined);
    const group = await groupOf(ctx, batchId, groupKey);
    return group === null ? { itemCount: 0, isFlushing: false } : flushGroup(ctx, group);
  },
});

/** The next groups of a flush. */
export const flushNext = internalMutation({
  args: { batchId: v.string(), after: v.string() },
  returns: v.null(),
  handler: async (ctx, { batchId, after }) => {
    await flushGroups(ctx, batchId, after);
    return null;
  },
});

interface Flushed {
  itemCount: number;
  isFlushing: boolean;
}

async function flushGroups(
  ctx: MutationCtx,
  batchId: string,
  after: string | undefined,
): Promise<Flushed> {
  const groups = await awakeOf(ctx, batchId, after);
  const all: Flushed = { itemCount: 0, isFlushing: false };
  for (const group of groups) {
    const { itemCount, isFlushing } = await flushGroup(ctx, group);
    all.itemCount += itemCount;
    all.isFlushing ||= isFlushing;
  }
  const last = groups.at(-1)?.groupKey;
  if (groups.length === GROUPS_PAGE && last !== undefined) {
    await ctx.scheduler.runAfter(0, internal.lib.flushNext, { batchId, after: last });
  }
  return all;
}

async function flushGroup(ctx: MutationCtx, group: Doc<"groups">): Promise<Flushed> {
  const runner = await runnerOf(ctx, group._id);
  if (runner === null) return { itemCount: 0, isFlushing: false };
  const failed = await firstFlush(ctx, group._id);
  const itemCount = (await waitingOf(ctx, group, HEADERS_MAX)).items + (failed?.count ?? 0);
  const isFlushing = runner.state === "running";
  if (itemCount === 0) return { itemCount, isFlushing };
  const flushedTo = Date.now();
  if (failed !== null) await ctx.db.patch("flushes", failed._id, { retryAt: 0 });
  if (isFlushing) await ctx.db.patch("runners", runner._id, { flushedTo });
  else await arm(ctx, runner, 0, { flushedTo });
  return { itemCount, isFlushing };
}

/** Whether something was added to it, as far as that is remembered. */
async function isKnown(ctx: MutationCtx, batchId: string): Promise<boolean> {
  const [group] = await pageOf(ctx, batchId, undefined, 1);
  if (group !== undefined) return true;
  const entry = await ctx.db
    .query("history")
    .withIndex("by_time", (q) => q.eq("batchId", batchId))
    .first();
  return entry !== null;
}

/** What waits and what is being flushed; `null` for an id that nothing was added to. */
export const getBatchStatus = query({
  args: { batchId: v.string() },
  returns: v.union(v.null(), v.object({ batches: v.array(vActive), config: vBatchConfig })),
  handler: async (ctx, { batchId }) => {
    const [any] = await pageOf(ctx, batchId, undefined, 1);
    if (any === undefined) return null;
    const batches = [];
    for (const group of await awakeOf(ctx, batchId, undefined)) {
      batches.push(...(await activeOf(ctx, group)));
    }
    return { batches, config: inForce(any) };
  },
});

/** The latest flushes of a batch id, newest first; 100 by default, and at most 1,000. */
export const getFlushHistory = query({
  args: { batchId: v.string(), limit: v.optional(v.number()) },
  returns: v.array(vFlushed),
  handler: async (ctx, { batchId, limit = 100 }) => {
    const rows = await ctx.db
      .query("history")
      .withIndex("by_time", (q) => q.eq("batchId", batchId))
      .order("desc")
      .take(Math.min(Math.max(Math.trunc(limit), 0), LIST_MAX));
    return rows.map(shownOf);
  },
});

function shownOf(row: Doc<"history">): (typeof vFlushed)["type"] {
  const { batchId, groupKey, itemCount, flushedAt, durationMs, success, errorMessage } = row;
  return {
    batchId,
    itemCount,
    flushedAt,
    durationMs,
    success,
    ...(groupKey === undefined ? {} : { groupKey }),
    ...(errorMessage === undefined ? {} : { errorMessage }),
  };
}

/** Deletes an id that nothing waits for, with its settings and its history. Dead letters stay. */
export const deleteBatch = mutation({
  args: { batchId: v.string() },
  returns: vDeleted,
  handler: async (ctx, { batchId }) => {
    const groups = await pageOf(ctx, batchId, undefined);
    if (groups.length === 0) return { deleted: false, reason: "Batch not found" };
    for (const group of await awakeOf(ctx, batchId, undefined)) {
      const { items } = await waitingOf(ctx, group, 1);
      if (items > 0) return { deleted: false, reason: "Items are waiting: flush them first" };
      if ((await firstFlush(ctx, group._id)) !== null) {
        return { deleted: false, reason: "A flush of it is not over" };
      }
    }
    const settings = await settingsOf(ctx, batchId);
    if (settings !== null) await ctx.db.delete("settings", settings._id);
    await forget(ctx, batchId, groups);
    return { deleted: true };
  },
});

/** What of a deleted id is left. A group to which something was added meanwhile stays. */
export const deleteNext = internalMutation({
  args: { batchId: v.string() },
  returns: v.null(),
  handler: async (ctx, { batchId }) => {
    const groups = await pageOf(ctx, batchId, undefined);
    const idle = groups.filter(({ state }) => state === "idle");
    await forget(ctx, batchId, idle);
    return null;
  },
});

async function forget(
  ctx: MutationCtx,
  batchId: string,
  groups: readonly Doc<"groups">[],
): Promise<void> {
  for (const { _id } of groups) {
    const runner = await runnerOf(ctx, _id);
    if (runner !== null) {
      await disarm(ctx, runner);
      await ctx.db.delete("runners", runner._id);
    }
    await ctx.db.delete("groups", _id);
  }
  const rows = await ctx.db
    .query("history")
    .withIndex("by_time", (q) => q.eq("batchId", batchId))
    .take(HISTORY_MAX);
  for (const { _id } of rows) await ctx.db.delete("history", _id);
  if (groups.length === GROUPS_PAGE || rows.length === HISTORY_MAX) {
    await ctx.scheduler.runAfter(0, internal.lib.deleteNext, { batchId });
  }
}
