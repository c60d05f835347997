/** The pools of seed 003. Lines that changed have their original above them. */
import { v } from "convex/values";
// was: import { Workpool } from "@convex-dev/workpool";
import { Workpool, vWorkId, type WorkId } from "@batchwork/convex/pool";
import { components, internal } from "./_generated/api";
import { action, internalAction, mutation, query } from "./_generated/server";
import { sent } from "./sent";

const emailPool = new Workpool(components.emailWorkpool, {
  maxParallelism: 5,
  // More options available, such as:
  actionTimeoutMs: 10 * 60 * 1000,
  ttl: 7 * 24 * 60 * 60 * 1000,
});

export const signUp = mutation({
  args: { name: v.string(), email: v.string() },
  handler: async (ctx, args): Promise<WorkId> => {
    const userId = await ctx.db.insert("users", args);
    // was: await emailPool.enqueueAction(internal.auth.sendEmailVerification, { userId });
    return await emailPool.enqueueAction(ctx, internal.auth.sendEmailVerification, { userId });
  },
});

export const sendEmailVerification = internalAction({
  args: { userId: v.id("users") },
  handler: async (ctx, { userId }) => {
    sent.push(`verify ${userId}`);
    return `sent to ${userId}`;
  },
});

export const status = query({
  args: { id: vWorkId },
  handler: async (ctx, { id }) => {
    // was: const status = await pool.status(id);
    return await emailPool.status(ctx, id);
  },
});

export const verify = action({
  args: { userId: v.id("users") },
  handler: async (ctx, { userId }): Promise<string> => {
    // was: const id = await pool.enqueueAction(api.foo.bar, args);
    const id = await emailPool.enqueueAction(ctx, internal.auth.sendEmailVerification, { userId });
    // was: const result = await pool.pollResult(id);
    const result = await emailPool.pollResult(ctx, id);
    return result.kind === "success" ? (result.returnValue as string) : result.kind;
  },
});
