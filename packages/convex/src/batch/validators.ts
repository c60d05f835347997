/** What is stored, and what callers see of it. */
import { v, type Infer } from "convex/values";
import { vValue } from "../base/values.js";

/** How a batch id is batched. */
export const vBatchConfig = v.object({
  processBatch: v.string(),
  flushIntervalMs: v.number(),
  /** Waiting items that are flushed at once. */
  threshold: v.optional(v.number()),
  /** Most items of one flush. */
  maxBatchSize: v.optional(v.number()),
  /** Attempts of a batch before it is halved, and of an item before it is a dead letter. */
  maxAttempts: v.optional(v.number()),
});

export type BatchConfig = Infer<typeof vBatchConfig>;

export const vActive = v.object({
  status: v.union(v.literal("accumulating"), v.literal("flushing")),
  itemCount: v.number(),
  createdAt: v.number(),
  lastUpdatedAt: v.number(),
});

export const vFlushed = v.object({
  batchId: v.string(),
  itemCount: v.number(),
  flushedAt: v.number(),
  durationMs: v.number(),
  success: v.boolean(),
  errorMessage: v.optional(v.string()),
});

export const vMember = v.object({ chunk: v.id("chunks"), from: v.number(), end: v.number() });

/** A batch for the runner. */
export const vStep = v.union(
  v.null(),
  v.object({ flush: v.id("flushes"), processBatch: v.string(), items: v.array(vValue) }),
);

export type Step = Infer<typeof vStep>;

export const vDeleted = v.object({ deleted: v.boolean(), reason: v.optional(v.string()) });

export const vJobStatus = v.union(
  v.literal("pending"),
  v.literal("running"),
  v.literal("paused"),
  v.literal("completed"),
  v.literal("failed"),
);

export const vJobConfig = v.object({
  batchSize: v.number(),
  delayBetweenBatchesMs: v.number(),
  getNextBatch: v.string(),
  processBatch: v.string(),
  onComplete: v.optional(v.string()),
  maxRetries: v.number(),
});
