/** The worker of seed 001. Lines that changed have their original above them. */
import { v } from "convex/values";
// was: import { ping, vBatchQueryArgs, vBatchResult } from "@convex-dev/batch-worker";
import { ping, vBatchQueryArgs, vBatchResult } from "@batchwork/convex/worker";
import { components, internal } from "./_generated/api";
import { internalMutation, internalQuery, mutation, query } from "./_generated/server";

const BATCH_SIZE = 10;

// Insert work, then make sure the loop is running.
export const addEvent = mutation({
  args: { value: v.number() },
  handler: async (ctx, { value }) => {
    await ctx.db.insert("events", { value });
    await ping(ctx, components.batchWorker, {
      name: "events", // distinct names give you independent queues
      workQuery: internal.example.getBatch,
      workerMutation: internal.example.processBatch,
    });
  },
});

// Return the next batch of work, or `idle` when there's nothing to do.
export const getBatch = internalQuery({
  args: vBatchQueryArgs, // { name } — lets one query serve multiple queues
  returns: vBatchResult(v.object({ ids: v.array(v.id("events")) })),
  handler: async (ctx) => {
    const events = await ctx.db.query("events").take(BATCH_SIZE);
    if (events.length === 0) {
      return { kind: "idle" as const };
    }
    return { kind: "work" as const, batch: { ids: events.map((e) => e._id) } };
  },
});

// Process one batch. The worker owns cleanup — delete what you process!
export const processBatch = internalMutation({
  args: { ids: v.array(v.id("events")) },
  handler: async (ctx, { ids }) => {
    for (const id of ids) {
      const event = await ctx.db.get(id);
      await ctx.db.insert("totals", { value: event?.value ?? 0 });
      await ctx.db.delete("events", id);
    }
    // Returning nothing re-runs immediately to drain the rest.
  },
});

// Configuration
export const addEventLater = mutation({
  args: { value: v.number() },
  handler: async (ctx, { value }) => {
    await ctx.db.insert("events", { value });
    await ping(ctx, components.batchWorker, {
      name: "events",
      workQuery: internal.example.getBatch,
      workerMutation: internal.example.processBatch,
      config: {
        debounceMs: 100, // wait before the first batch so a burst accumulates
        monitorLagMs: 15_000,
      },
    });
  },
});

// Stopping & resuming
export const stop = mutation({
  args: {},
  handler: async (ctx) => {
    await ctx.runMutation(components.batchWorker.lib.stop, { name: "events" });
  },
});

export const start = mutation({
  args: {},
  handler: async (ctx) => {
    await ctx.runMutation(components.batchWorker.lib.start, { name: "events" });
  },
});

export const status = query({
  args: {},
  handler: async (ctx) => {
    return await ctx.runQuery(components.batchWorker.lib.status, { name: "events" });
  },
});
