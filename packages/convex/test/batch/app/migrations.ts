/** The user's functions of the iterator. */
import {
  internalActionGeneric,
  internalMutationGeneric,
  internalQueryGeneric,
  type DataModelFromSchemaDefinition,
  type MutationBuilder,
  type QueryBuilder,
} from "convex/server";
import { v } from "convex/values";
import type schema from "./schema.js";
import { deliver, watched } from "./watched.js";

type DataModel = DataModelFromSchemaDefinition<typeof schema>;

const internalQuery = internalQueryGeneric as QueryBuilder<DataModel, "internal">;
const internalMutation = internalMutationGeneric as MutationBuilder<DataModel, "internal">;

export const getNextBatch = internalQuery({
  args: { cursor: v.optional(v.string()), batchSize: v.number() },
  handler: async (ctx, { cursor, batchSize }) => {
    if (batchSize > watched.pageMax) throw new Error("Too many bytes read in a single function");
    const results = await ctx.db
      .query("users")
      .paginate({ cursor: cursor ?? null, numItems: batchSize });
    return {
      items: results.page.map(({ n }) => ({ n })),
      cursor: results.continueCursor,
      done: results.isDone,
    };
  },
});

export const processBatch = internalActionGeneric({
  args: { items: v.array(v.object({ n: v.number() })) },
  handler: async (_, { items }) => {
    await deliver(items.map(({ n }) => n));
  },
});

export const onComplete = internalMutation({
  args: { jobId: v.string(), processedCount: v.number() },
  handler: async (ctx, { jobId, processedCount }) => {
    await ctx.db.insert("completed", { jobId, processedCount });
    if (watched.completeFails-- > 0) throw new Error("no completion");
  },
});
