/** The app's calls of the accumulator, and its walk over a table. */
import {
  internalActionGeneric,
  internalMutationGeneric,
  internalQueryGeneric,
  makeFunctionReference,
} from "convex/server";
import { v } from "convex/values";
import { BatchProcessor } from "../../../packages/convex/src/client/batch.ts";
import type { ComponentApi } from "../../../packages/convex/src/batch/_generated/component.ts";
import { itemOf, watched } from "../jobs.ts";
import { components } from "./_generated/api.ts";

type Item = ReturnType<typeof itemOf>;

const PAGE = 100;

const processor = new BatchProcessor<Item>(components["batch"] as unknown as ComponentApi, {
  maxBatchSize: PAGE,
  flushIntervalMs: 1000,
  processBatch: makeFunctionReference<"action", { items: Item[] }>("groups:work") as never,
});

export const add = internalMutationGeneric({
  args: { count: v.number() },
  handler: async (ctx, { count }) => {
    const items = Array.from({ length: count }, () => itemOf());
    await processor.addItems(ctx, "events", items);
  },
});

export const work = internalActionGeneric({
  args: { items: v.array(v.any()) },
  handler: async (_, { items }) => {
    watched.ended.push(...items.map(() => Date.now()));
  },
});

export const fill = internalMutationGeneric({
  args: { count: v.number() },
  handler: async (ctx, { count }) => {
    for (let row = 0; row < count; row++) await ctx.db.insert("rows", itemOf());
  },
});

export const page = internalQueryGeneric({
  args: { cursor: v.optional(v.string()), batchSize: v.number() },
  handler: async (ctx, { cursor = null, batchSize }) => {
    const found = await ctx.db.query("rows").paginate({ cursor, numItems: batchSize });
    return { items: found.page as unknown[], cursor: found.continueCursor, done: found.isDone };
  },
});

export const iterate = internalMutationGeneric({
  args: {},
  handler: async (ctx) => {
    await processor.startIterator(ctx, "job", {
      batchSize: PAGE,
      getNextBatch: makeFunctionReference<"query">("groups:page") as never,
      processBatch: makeFunctionReference<"action">("groups:work") as never,
    });
  },
});
