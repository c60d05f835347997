/** The accumulator of seed 000. Lines that changed have their original above them. */
import { mutation, query, internalAction } from "./_generated/server";
import { internal, components } from "./_generated/api";
// was: import { BatchProcessor } from "convex-batch-processor";
import { BatchProcessor } from "@batchwork/convex/batch";
import { v } from "convex/values";
import { sent } from "./sent";

// Define the event schema
const analyticsEventValidator = v.object({
  eventName: v.string(),
  properties: v.optional(v.record(v.string(), v.string())),
  timestamp: v.number(),
});

type AnalyticsEvent = typeof analyticsEventValidator.type;

// Create a batch processor with config
const batchProcessor: BatchProcessor<AnalyticsEvent> = new BatchProcessor<AnalyticsEvent>(
  components.batchProcessor,
  {
    maxBatchSize: 100,
    flushIntervalMs: 30000,
    processBatch: internal.analytics.processEventsBatch,
  },
);

// Define the batch processor (must be an action)
export const processEventsBatch = internalAction({
  args: { items: v.array(analyticsEventValidator) },
  handler: async (ctx, { items }) => {
    // was: await fetch("https://api.analytics.com/batch", { method: "POST", body: … });
    sent.push(items.map(({ eventName }) => eventName));
  },
});

// Add items to a batch
export const trackEvent = mutation({
  args: {
    eventName: v.string(),
    properties: v.optional(v.record(v.string(), v.string())),
  },
  handler: async (ctx, { eventName, properties }) => {
    const event: AnalyticsEvent = { eventName, properties, timestamp: Date.now() };
    return await batchProcessor.addItems(ctx, "analytics-events", [event]);
  },
});

// Manual flush
export const flush = mutation({
  args: {},
  handler: async (ctx) => {
    return await batchProcessor.flush(ctx, "analytics-events");
  },
});

// Get batch status
export const status = query({
  args: {},
  handler: async (ctx) => {
    return await batchProcessor.getBatchStatus(ctx, "analytics-events");
  },
});

// Get flush history
export const history = query({
  args: {},
  handler: async (ctx) => {
    return await batchProcessor.getFlushHistory(ctx, "analytics-events");
  },
});

export const remove = mutation({
  args: {},
  handler: async (ctx) => {
    return await batchProcessor.deleteBatch(ctx, "analytics-events");
  },
});
