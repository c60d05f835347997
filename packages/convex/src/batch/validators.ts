/** What is stored, and what callers see of it. */
import { v, type Infer } from "convex/values";
import { vValue } from "../base/values.js";

/** What of a configuration can be changed at run time. */
const tunable = {
  flushIntervalMs: v.number(),
  /** Waiting items that are flushed at once. */
  threshold: v.number(),
  /** Most items of one flush. */
  maxBatchSize: v.number(),
  /** Attempts of a batch before it is halved, and of an item before it is a dead letter. */
  maxAttempts: v.number(),
  /** Delays after attempts that failed, ms. */
  backoff: v.object({ baseDelay: v.number(), maxDelay: v.number() }),
  /** At most `max` flushes of a group in any `duration` ms. */
  throttle: v.object({ max: v.number(), duration: v.number() }),
};

/** What `config.update` stored: it wins over what code declares. */
export const vOverride = v.object(tunable).partial();

export type Override = Infer<typeof vOverride>;

/** How a batch id is batched. */
export const vBatchConfig = v.object({
  ...vOverride.fields,
  processBatch: v.string(),
  flushIntervalMs: v.number(),
  /** How long the key of an item stays taken after it was added, ms; absent: while it waits. */
  deduplicateFor: v.optional(v.number()),
  /** How long entries of the history, and dead letters, are kept, ms. */
  historyTtl: v.optional(v.number()),
  deadLetterTtl: v.optional(v.number()),
});

export type BatchConfig = Infer<typeof vBatchConfig>;

export const vActive = v.object({
  groupKey: v.optional(v.string()),
  status: v.union(v.literal("accumulating"), v.literal("flushing")),
  itemCount: v.number(),
  createdAt: v.number(),
  lastUpdatedAt: v.number(),
});

export const vFlushed = v.object({
  batchId: v.string(),
  groupKey: v.optional(v.string()),
  itemCount: v.number(),
  flushedAt: v.number(),
  durationMs: v.number(),
  success: v.boolean(),
  errorMessage: v.optional(v.string()),
});

export const vMember = v.object({
  chunk: v.id("chunks"),
  from: v.number(),
  end: v.number(),
  /** The chunk goes with it: nothing later needs an item of it. Absent: when it ends the chunk. */
  owns: v.optional(v.boolean()),
});

/** An item of a batch that failed while others succeeded: its place, and why. */
export const vItemFailure = v.object({ index: v.number(), error: v.string() });

export type ItemFailure = Infer<typeof vItemFailure>;

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
  /** Pages grow up to this while they use little of what a transaction may. */
  maxBatchSize: v.optional(v.number()),
  /** How long the row of a job that is over is kept, ms. */
  ttl: v.optional(v.number()),
});
