/** Jobs of seed 002 that go through three handlers, each `onComplete` enqueueing the next. */
import { v } from "convex/values";
// was: import { vOnCompleteArgs, vResult, vWorkId } from "@convex-dev/workpool";
import { vOnCompleteArgs, vResult, vWorkId, type WorkId } from "@batchwork/convex/pool";
import { internal } from "./_generated/api";
import { internalMutation, mutation, query } from "./_generated/server";
// Registers the handlers.
import "./batchActions";
import { batch } from "./setup";

const context = v.object({ jobId: v.id("translations") });

export const runBatch = mutation({
  args: { sentences: v.array(v.string()) },
  handler: async (ctx, { sentences }): Promise<WorkId[]> => {
    const tasks = [];
    for (const sentence of sentences) {
      const jobId = await ctx.db.insert("translations", { sentence });
      tasks.push({
        name: "translateToSpanish",
        args: { sentence },
        options: { onComplete: internal.pipeline.afterSpanish, context: { jobId } },
      });
    }
    return await batch.enqueueBatch(ctx, tasks);
  },
});

export const afterSpanish = internalMutation({
  args: { workId: vWorkId, context, result: vResult },
  handler: async (ctx, { context: { jobId }, result }) => {
    if (result.kind !== "success") return;
    const spanish: string = result.returnValue;
    await ctx.db.patch(jobId, { spanish });
    await batch.enqueue(
      ctx,
      "translateToEnglish",
      { spanish },
      {
        onComplete: internal.pipeline.afterEnglish,
        context: { jobId },
        retry: { maxAttempts: 2, initialBackoffMs: 10, base: 2 },
      },
    );
  },
});

export const afterEnglish = internalMutation({
  args: vOnCompleteArgs(context),
  handler: async (ctx, { context: { jobId }, result }) => {
    if (result.kind !== "success") {
      await ctx.db.patch(jobId, { english: `${result.kind}` });
      return;
    }
    const english: string = result.returnValue;
    await ctx.db.patch(jobId, { english });
    const options = { onComplete: internal.pipeline.afterCount, context: { jobId } };
    await batch.enqueue(ctx, "countLetters", { text: english }, options);
  },
});

export const afterCount = internalMutation({
  args: vOnCompleteArgs(context, v.number()),
  handler: async (ctx, { context: { jobId }, result }) => {
    if (result.kind === "success") await ctx.db.patch(jobId, { letters: result.returnValue });
  },
});

export const results = query({
  args: {},
  handler: async (ctx) => await ctx.db.query("translations").collect(),
});

export const isRegistered = query({
  args: { name: v.string() },
  handler: async (ctx, { name }) => batch.isRegistered(name),
});

export const where = query({
  args: { id: vWorkId },
  handler: async (ctx, { id }) => await batch.status(ctx, id),
});
