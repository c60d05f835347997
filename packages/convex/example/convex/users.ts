/** People who sign up, and are greeted by a slow service, a few at a time. */
import { v } from "convex/values";
import { Workpool, vWorkId, type WorkId } from "../../src/client/pool.js";
import { components, internal } from "./_generated/api.js";
import type { Id } from "./_generated/dataModel.js";
import { internalAction, internalMutation, mutation, query } from "./_generated/server.js";

/** The service takes three calls at a time, and fails now and then. */
const greetings = new Workpool(components.pool, {
  maxParallelism: 3,
  retryActionsByDefault: true,
  defaultRetryBehavior: { maxAttempts: 3, initialBackoffMs: 100, base: 2 },
});

/** One after the other. */
const imports = new Workpool(components.serialPool, { maxParallelism: 1 });

export const signUp = mutation({
  args: { name: v.string() },
  returns: v.object({ user: v.id("users"), work: vWorkId }),
  handler: async (ctx, { name }): Promise<{ user: Id<"users">; work: WorkId }> => {
    const user = await ctx.db.insert("users", { name });
    const work = await greetings.enqueueAction(
      ctx,
      internal.users.greet,
      { name },
      { onComplete: internal.users.greeted, context: user },
    );
    return { user, work };
  },
});

/** Stands for a call of another service. */
export const greet = internalAction({
  args: { name: v.string() },
  returns: v.string(),
  handler: async (_, { name }) => {
    if (name === "") throw new Error("Nobody is there.");
    return `Hello, ${name}!`;
  },
});

export const greeted = greetings.defineOnComplete({
  context: v.id("users"),
  returnValue: v.string(),
  handler: async (ctx, { context, result }) => {
    const isSent = result.kind === "success";
    const greeting = isSent ? result.returnValue : `failed: ${result.kind}`;
    await ctx.db.patch("users", context, { greeting });
  },
});

export const importAll = mutation({
  args: { names: v.array(v.string()) },
  returns: v.array(vWorkId),
  handler: (ctx, { names }): Promise<WorkId[]> =>
    imports.enqueueMutationBatch(
      ctx,
      internal.users.add,
      names.map((name) => ({ name })),
    ),
});

export const add = internalMutation({
  args: { name: v.string() },
  returns: v.null(),
  handler: async (ctx, { name }) => {
    await ctx.db.insert("users", { name });
    return null;
  },
});

export const progress = query({
  args: { work: vWorkId },
  returns: v.string(),
  handler: async (ctx, { work }) => (await greetings.status(ctx, work)).state,
});

export const giveUp = mutation({
  args: { work: vWorkId },
  returns: v.null(),
  handler: async (ctx, { work }) => {
    await greetings.cancel(ctx, work);
    return null;
  },
});

export const list = query({
  args: {},
  returns: v.array(v.object({ name: v.string(), greeting: v.union(v.string(), v.null()) })),
  handler: async (ctx) => {
    const users = await ctx.db.query("users").take(100);
    return users.map(({ name, greeting = null }) => ({ name, greeting }));
  },
});
