/** What callers reach: dead letters of the accumulator. */
import { ConvexError, v } from "convex/values";
import { vValue } from "../base/values.js";
import { internal } from "./_generated/api.js";
import { mutation, query } from "./_generated/server.js";
import { start, store, unknown } from "./add.js";
import { groupOf } from "./groups.js";
import { LIST_MAX, REDRIVE_MAX } from "./limits.js";

/** Items that were out of attempts, oldest first; at most `limit`, 100 by default. */
export const list = query({
  args: { batchId: v.string(), limit: v.optional(v.number()) },
  returns: v.array(v.object({ id: v.string(), item: vValue, error: v.string(), at: v.number() })),
  handler: async (ctx, { batchId, limit = 100 }) => {
    const rows = await ctx.db
      .query("dead")
      .withIndex("by_batch_id", (q) => q.eq("batchId", batchId))
      .take(Math.min(Math.max(Math.trunc(limit), 0), LIST_MAX));
    return rows.map(({ _id, item, error, at }) => ({ id: _id, item, error, at }));
  },
});

/** Adds dead letters again, oldest first; at most `limit`, 100 by default. Returns how many. */
export const redrive = mutation({
  args: { batchId: v.string(), limit: v.optional(v.number()) },
  returns: v.number(),
  handler: async (ctx, { batchId, limit = 100 }) => {
    const group = await groupOf(ctx, batchId);
    if (group === null) throw new ConvexError(unknown(batchId));
    const rows = await ctx.db
      .query("dead")
      .withIndex("by_batch_id", (q) => q.eq("batchId", batchId))
      .take(Math.min(Math.max(Math.trunc(limit), 0), REDRIVE_MAX));
    const [{ config }, items] = [group, rows.map(({ item }) => item)];
    for (const { _id } of rows) await ctx.db.delete("dead", _id);
    if (rows.length === 0) return 0;
    await store(ctx, group, { items, config, isFull: true });
    if (group.state === "idle") {
      await ctx.db.patch("groups", group._id, { state: "awake" });
      await start(ctx, group, Date.now());
    } else await ctx.scheduler.runAfter(0, internal.watch.hurry, { group: group._id });
    return rows.length;
  },
});
