/** The batch component's tables. Who writes a table, and when, is what keeps adds from waiting. */
import { defineSchema, defineTable } from "convex/server";
import { v } from "convex/values";
import { vValue } from "../base/values.js";
import { vBatchConfig, vFlushed, vJobConfig, vJobStatus, vMember } from "./validators.js";

export default defineSchema({
  // ── Accumulator ──────────────────────────────────────────────────────────────────────────────

  /** One row per batch id. Read by every add; written when its runner sleeps or is woken. */
  groups: defineTable({
    batchId: v.string(),
    state: v.union(v.literal("idle"), v.literal("awake")),
    config: vBatchConfig,
    declaredAt: v.number(),
  }).index("by_batch_id", ["batchId"]),

  /** What one call added. Inserted by the call, deleted by the settlement of its last item. */
  chunks: defineTable({ items: v.array(vValue) }),

  /** The header of a chunk: inserted by the call, then the runner's alone. */
  headers: defineTable({
    group: v.id("groups"),
    chunk: v.id("chunks"),
    /** Items that are in no flush yet: from here to `count`. */
    from: v.number(),
    count: v.number(),
    bytes: v.number(),
    addedAt: v.number(),
    /** When it has waited long enough, ms since the epoch; absent for never. */
    dueAt: v.optional(v.number()),
    inbox: v.commitTs(),
  }).index("by_inbox", ["group", "inbox"]),

  /** One row per batch id: its one runner. Written by the runner, and by whoever hurries it. */
  runners: defineTable({
    group: v.id("groups"),
    /** The fencing token: a runner with another one was superseded, and changes nothing. */
    token: v.number(),
    state: v.union(v.literal("asleep"), v.literal("armed"), v.literal("running")),
    run: v.optional(v.id("_scheduled_functions")),
    runAt: v.number(),
    watch: v.optional(v.id("_scheduled_functions")),
    /** `flush` asked for all that was added until then, ms since the epoch. */
    flushedTo: v.number(),
    /** Entries of history so far. */
    entries: v.number(),
    /** Grows when a look finds the runner busy: what it decides meanwhile, it decides again. */
    looks: v.number(),
  }).index("by_group", ["group"]),

  /** A sealed batch: membership is fixed, every delivery of it is the same. */
  flushes: defineTable({
    group: v.id("groups"),
    /** Place of its first item in the batch that it is, or is a part of. */
    position: v.number(),
    /** Where its items are, in order. */
    members: v.array(vMember),
    count: v.number(),
    attempts: v.number(),
    /** It is a part of a batch that was out of attempts: it is not tried again as a whole. */
    isPart: v.boolean(),
    createdAt: v.number(),
    startedAt: v.number(),
    /** Not before this, after a failure. */
    retryAt: v.number(),
  }).index("by_position", ["group", "position"]),

  /** Items that were out of attempts. Inserted by settlements, deleted by `redrive`. */
  dead: defineTable({
    group: v.id("groups"),
    batchId: v.string(),
    item: vValue,
    error: v.string(),
    at: v.number(),
  }).index("by_batch_id", ["batchId"]),

  /** How flushes ended; the latest are kept. */
  history: defineTable({ ...vFlushed.fields, entry: v.number() }).index("by_entry", [
    "batchId",
    "entry",
  ]),

  // ── Iterator ─────────────────────────────────────────────────────────────────────────────────

  /** One row per job: the state machine and the checkpoint. */
  jobs: defineTable({
    jobId: v.string(),
    status: vJobStatus,
    cancelled: v.optional(v.boolean()),
    /** The fencing token of the page that runs; a superseded page changes nothing. */
    token: v.number(),
    /** The page that is scheduled or runs. */
    run: v.optional(v.id("_scheduled_functions")),
    runAt: v.number(),
    watch: v.optional(v.id("_scheduled_functions")),
    cursor: v.optional(v.string()),
    processedCount: v.number(),
    retryCount: v.number(),
    errorMessage: v.optional(v.string()),
    lastRunAt: v.optional(v.number()),
    /** Smaller than declared after a page broke a limit. */
    pageSize: v.optional(v.number()),
    /** Attempts of `onComplete` that threw. */
    callbackAttempts: v.optional(v.number()),
    config: vJobConfig,
  })
    .index("by_job_id", ["jobId"])
    .index("by_status", ["status"]),
});
