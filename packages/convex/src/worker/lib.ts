/** What callers reach. */
import { v } from "convex/values";
import { query } from "./_generated/server.js";

/** The run state of a worker; `null` for a name that was never pinged. */
export const status = query({
  args: { name: v.string() },
  returns: v.union(
    v.null(),
    v.object({ kind: v.literal("idle") }),
    v.object({ kind: v.literal("running") }),
    v.object({ kind: v.literal("stopped") }),
  ),
  handler: async (ctx, { name }) => {
    const worker = await ctx.db
      .query("workers")
      .withIndex("by_name", (q) => q.eq("name", name))
      .unique();
    return worker === null ? null : { kind: worker.state };
  },
});
