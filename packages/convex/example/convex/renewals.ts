/** A walk through all users, page by page, which goes on where it was. */
import { v } from "convex/values";
import { BatchProcessor } from "../../src/client/batch.js";
import { components, internal } from "./_generated/api.js";
import type { Id } from "./_generated/dataModel.js";
import {
  internalAction,
  internalMutation,
  internalQuery,
  mutation,
  query,
} from "./_generated/server.js";

const iterators = new BatchProcessor(components.batch);

const PAGE = 10;

export const start = mutation({
  args: { jobId: v.string() },
  returns: v.string(),
  handler: async (ctx, { jobId }): Promise<string> => {
    const { status } = await iterators.startIterator<Id<"users">>(ctx, jobId, {
      batchSize: PAGE,
      maxBatchSize: 10 * PAGE,
      getNextBatch: internal.renewals.getNextBatch,
      processBatch: internal.renewals.renew,
      onComplete: internal.renewals.done,
    });
    return status;
  },
});

export const getNextBatch = internalQuery({
  args: { cursor: v.optional(v.string()), batchSize: v.number() },
  returns: v.object({ items: v.array(v.id("users")), cursor: v.string(), done: v.boolean() }),
  handler: async (ctx, { cursor = null, batchSize }) => {
    const users = await ctx.db.query("users").paginate({ cursor, numItems: batchSize });
    const { page, continueCursor, isDone } = users;
    return { items: page.map(({ _id }) => _id), cursor: continueCursor, done: isDone };
  },
});

export const renew = internalAction({
  args: { items: v.array(v.id("users")) },
  returns: v.null(),
  handler: async (ctx, { items }) => {
    await ctx.runMutation(internal.renewals.write, { users: items });
    return null;
  },
});

export const write = internalMutation({
  args: { users: v.array(v.id("users")) },
  returns: v.null(),
  handler: async (ctx, { users }) => {
    for (const user of users) await ctx.db.patch("users", user, { greeting: "Welcome back." });
    return null;
  },
});

export const done = internalMutation({
  args: { jobId: v.string(), processedCount: v.number() },
  returns: v.null(),
  handler: async (ctx, { jobId, processedCount }) => {
    await ctx.db.insert("reports", { jobId, users: processedCount });
    return null;
  },
});

/** `action`: what is to happen to the job. Returns its status then. */
export const control = mutation({
  args: {
    jobId: v.string(),
    action: v.union(v.literal("pause"), v.literal("resume"), v.literal("cancel")),
  },
  returns: v.string(),
  handler: async (ctx, { jobId, action }): Promise<string> => {
    const actions = {
      pause: () => iterators.pauseIterator(ctx, jobId),
      resume: () => iterators.resumeIterator(ctx, jobId),
      cancel: () => iterators.cancelIterator(ctx, jobId),
    };
    return (await actions[action]()).status;
  },
});

export const progress = query({
  args: { jobId: v.string() },
  returns: v.union(v.null(), v.object({ status: v.string(), users: v.number() })),
  handler: async (ctx, { jobId }) => {
    const job = await iterators.getIteratorStatus(ctx, jobId);
    return job && { status: job.status, users: job.processedCount };
  },
});
