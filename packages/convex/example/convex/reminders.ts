/** Many short calls in few actions: a reminder for everybody. */
import { v } from "convex/values";
import { BatchWorkpool } from "../../src/client/pool.js";
import { components, internal } from "./_generated/api.js";
import { internalMutation, mutation } from "./_generated/server.js";

const reminders = new BatchWorkpool(components.reminderPool, {
  maxWorkers: 2,
  maxConcurrencyPerWorker: 50,
});

/** A handler, which runs next to others in one action. */
export const remind = reminders.action("remind", {
  args: { user: v.string() },
  handler: async (ctx, { user }) => {
    await ctx.runMutation(internal.reminders.sent, { user });
  },
});

/** The action that runs them. */
export const executor = reminders.executor();

reminders.setExecutorRef(internal.reminders.executor);

export const remindAll = mutation({
  args: {},
  returns: v.number(),
  handler: async (ctx) => {
    const users = await ctx.db.query("users").take(1000);
    const tasks = users.map(({ _id: user }) => ({ name: "remind", args: { user } }));
    await reminders.enqueueBatch(ctx, tasks);
    return tasks.length;
  },
});

export const sent = internalMutation({
  args: { user: v.string() },
  returns: v.null(),
  handler: async (ctx, args) => {
    const user = ctx.db.normalizeId("users", args.user);
    if (user !== null) await ctx.db.patch("users", user, { greeting: "Do not forget us." });
    return null;
  },
});
