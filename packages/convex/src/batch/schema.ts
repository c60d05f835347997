/** The batch component's tables. Who writes a table, and when, is what keeps adds from waiting. */
import { defineSchema, defineTable } from "convex/server";
import { v } from "convex/values";

export default defineSchema({
  // ── Accumulator ──────────────────────────────────────────────────────────────────────────────

  /** One row per batch id. Read by every add; written when a timer is set, and by transitions. */
  groups: defineTable({
    batchId: v.string(),
    state: v.union(v.literal("idle"), v.literal("awake")),
    /** The turn that a waker schedules. */
    turn: v.number(),
    timer: v.optional(v.object({ at: v.number(), run: v.id("_scheduled_functions") })),
    processBatch: v.string(),
    maxBatchSize: v.optional(v.number()),
    flushIntervalMs: v.number(),
  }).index("by_batch_id", ["batchId"]),

  /** What one call added. Inserted by the call, deleted by the settlement of its last item. */
  chunks: defineTable({ items: v.array(v.any()) }),

  /** The header of a chunk: inserted by the call, then the sealing turn's alone. */
  headers: defineTable({
    group: v.id("groups"),
    chunk: v.id("chunks"),
    /** Items that are in no flush yet: from here to `count`. */
    from: v.number(),
    count: v.number(),
    bytes: v.number(),
    inbox: v.commitTs(),
  }).index("by_inbox", ["group", "inbox"]),

  /** A sealed batch: membership is fixed, every delivery of it is the same. */
  flushes: defineTable({
    group: v.id("groups"),
    /** Where its items are, in order. */
    members: v.array(v.object({ chunk: v.id("chunks"), from: v.number(), end: v.number() })),
    count: v.number(),
    attempts: v.number(),
    /** Absent while it waits for another attempt. */
    run: v.optional(v.id("_scheduled_functions")),
    watch: v.optional(v.id("_scheduled_functions")),
    startedAt: v.number(),
  }).index("by_group", ["group"]),

  /** How flushes ended; the latest are kept. */
  history: defineTable({
    batchId: v.string(),
    itemCount: v.number(),
    flushedAt: v.number(),
    durationMs: v.number(),
    success: v.boolean(),
    errorMessage: v.optional(v.string()),
  }).index("by_batch_id", ["batchId"]),

  // ── Iterator ─────────────────────────────────────────────────────────────────────────────────

  /** One row per job: the state machine and the checkpoint. */
  jobs: defineTable({
    jobId: v.string(),
    status: v.union(
      v.literal("pending"),
      v.literal("running"),
      v.literal("paused"),
      v.literal("completed"),
      v.literal("failed"),
    ),
    cancelled: v.optional(v.boolean()),
    /** Grows with every run; a superseded run changes nothing. */
    token: v.number(),
    run: v.optional(v.id("_scheduled_functions")),
    watch: v.optional(v.id("_scheduled_functions")),
    cursor: v.optional(v.string()),
    processedCount: v.number(),
    retryCount: v.number(),
    errorMessage: v.optional(v.string()),
    lastRunAt: v.optional(v.number()),
    config: v.object({
      batchSize: v.number(),
      delayBetweenBatchesMs: v.number(),
      getNextBatch: v.string(),
      processBatch: v.string(),
      onComplete: v.optional(v.string()),
      maxRetries: v.number(),
    }),
  })
    .index("by_job_id", ["jobId"])
    .index("by_status", ["status"]),
});
