/** Multiple queues and steering, of seed 001. Lines that changed have their original above them. */
import { v } from "convex/values";
// was: import { ping, vBatchQueryArgs, vBatchResult } from "@convex-dev/batch-worker";
import { ping, vBatchQueryArgs, vBatchResult, vWorkerResult } from "@batchwork/convex/worker";
import { components, internal } from "./_generated/api";
import { internalMutation, internalQuery, mutation } from "./_generated/server";

export const enqueue = mutation({
  args: { to: v.string() },
  handler: async (ctx, { to }) => {
    await ctx.db.insert("users", { name: to, email: to });
    await ping(ctx, components.batchWorker, {
      name: "emails",
      workQuery: internal.email.getBatch,
      workerMutation: internal.email.send,
    });
  },
});

export const getBatch = internalQuery({
  args: vBatchQueryArgs,
  returns: vBatchResult(v.object({ to: v.array(v.id("users")) })),
  handler: async (ctx) => {
    const users = await ctx.db.query("users").take(5);
    if (users.length === 0) {
      return {
        kind: "idle" as const,
        // Keep polling this long before transitioning to idle.
        cooldownMs: 10_000,
        // How often to poll while cooling down.
        pollIntervalMs: 250,
        timeoutMs: 60_000,
      };
    }
    return { kind: "work" as const, batch: { to: users.map((user) => user._id) } };
  },
});

export const send = internalMutation({
  args: { to: v.array(v.id("users")) },
  returns: vWorkerResult,
  handler: async (ctx, { to }) => {
    for (const id of to) {
      await ctx.db.insert("sent", { what: "email" });
      await ctx.db.delete("users", id);
    }
    return {
      // Don't run again — and ignore pings — for at least this long (debounce).
      debounceMs: 30_000,
    };
  },
});
