/** What callers reach. */
import { v } from "convex/values";
import { query } from "./_generated/server.js";

/** The latest flushes of a batch id, newest first. */
export const getFlushHistory = query({
  args: { batchId: v.string(), limit: v.optional(v.number()) },
  returns: v.array(
    v.object({
      batchId: v.string(),
      itemCount: v.number(),
      flushedAt: v.number(),
      durationMs: v.number(),
      success: v.boolean(),
      errorMessage: v.optional(v.string()),
    }),
  ),
  handler: async (ctx, { batchId, limit = 100 }) => {
    const rows = await ctx.db
      .query("history")
      .withIndex("by_batch_id", (q) => q.eq("batchId", batchId))
      .order("desc")
      .take(limit);
    return rows.map(({ _id, _creationTime, ...row }) => row);
  },
});
