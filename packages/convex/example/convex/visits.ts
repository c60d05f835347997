/** Visits of pages, sent to an analytics service in batches: one group for each site. */
import { v } from "convex/values";
import { BatchProcessor, failItems, vItemFailures } from "../../src/client/batch.js";
import { components, internal } from "./_generated/api.js";
import { internalAction, internalMutation, mutation, query } from "./_generated/server.js";

const vVisit = v.object({ site: v.string(), page: v.string() });

type Visit = typeof vVisit.type;

const BATCH = "visits";

const visits: BatchProcessor<Visit> = new BatchProcessor<Visit>(components.batch, {
  maxBatchSize: 50,
  flushIntervalMs: 5000,
  maxAttempts: 2,
  groupBy: ({ site }) => site,
  processBatch: internal.visits.send,
});

export const track = mutation({
  args: { visits: v.array(vVisit) },
  returns: v.number(),
  handler: async (ctx, args) => (await visits.addItems(ctx, BATCH, args.visits)).itemCount,
});

/** Stands for one call of the service, which refuses visits without a page and takes the rest. */
export const send = internalAction({
  args: { items: v.array(vVisit) },
  returns: vItemFailures,
  handler: async (ctx, { items }) => {
    await ctx.runMutation(internal.visits.received, {
      visits: items.filter(({ page }) => page !== ""),
    });
    const refused = items.flatMap(({ page }, index) => (page === "" ? [index] : []));
    return failItems(refused.map((index) => ({ index, error: "a visit needs a page" })));
  },
});

export const received = internalMutation({
  args: { visits: v.array(vVisit) },
  returns: v.null(),
  handler: async (ctx, args) => {
    for (const visit of args.visits) await ctx.db.insert("visits", visit);
    return null;
  },
});

/** Sends what waits, without waiting for more. */
export const flush = mutation({
  args: {},
  returns: v.boolean(),
  handler: async (ctx) => (await visits.flush(ctx, BATCH)).flushed,
});

export const pause = mutation({
  args: { isPaused: v.boolean() },
  returns: v.null(),
  handler: async (ctx, { isPaused }) => {
    if (isPaused) await visits.pause(ctx, BATCH);
    else await visits.resume(ctx, BATCH);
    return null;
  },
});

/** Changes the interval without a deploy. */
export const setInterval = mutation({
  args: { ms: v.number() },
  returns: v.null(),
  handler: async (ctx, { ms }) => {
    await visits.update(ctx, BATCH, { flushIntervalMs: ms });
    return null;
  },
});

/** What a dashboard shows of a site; it follows by itself, as any query does. */
export const dashboard = query({
  args: { site: v.string() },
  returns: v.object({ waiting: v.string(), received: v.number(), refused: v.array(vVisit) }),
  handler: async (ctx, { site }) => {
    const { text } = await visits.explain(ctx, BATCH, site);
    const rows = await ctx.db
      .query("visits")
      .withIndex("by_site", (q) => q.eq("site", site))
      .take(1000);
    const letters = await visits.deadLetters(ctx, BATCH);
    return { waiting: text, received: rows.length, refused: letters.map(({ item }) => item) };
  },
});

/** Gives up on the visits that the service refused. */
export const forgetRefused = mutation({
  args: {},
  returns: v.number(),
  handler: (ctx): Promise<number> => visits.discard(ctx, BATCH),
});
