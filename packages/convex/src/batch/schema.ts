/** The batch component's tables. Who writes a table, and when, is what keeps adds from waiting. */
import { defineSchema, defineTable } from "convex/server";
import { v } from "convex/values";
import { vValue } from "../base/values.js";
import {
  vBatchConfig,
  vFlushed,
  vJobConfig,
  vJobStatus,
  vMember,
  vOverride,
} from "./validators.js";

export default defineSchema({
  // ── Accumulator ──────────────────────────────────────────────────────────────────────────────

  /**
   * One row per batch id, or per group of it. Read by every add; written when its runner sleeps or
   * is woken, and by `config.update`.
   */
  groups: defineTable({
    batchId: v.string(),
    groupKey: v.optional(v.string()),
    state: v.union(v.literal("idle"), v.literal("awake")),
    config: vBatchConfig,
    declaredAt: v.number(),
    /** Copies of the settings' fields. */
    override: v.optional(vOverride),
    paused: v.optional(v.boolean()),
    /** When it may be forgotten; only of groups with a key in which nothing waits. */
    expiresAt: v.optional(v.number()),
  })
    .index("by_batch_id", ["batchId", "groupKey"])
    .index("by_state", ["batchId", "state", "groupKey"])
    .index("by_expiry", ["expiresAt"]),

  /** What was set at run time for a batch id. Read when a group is new; written by callers only. */
  settings: defineTable({
    batchId: v.string(),
    override: vOverride,
    paused: v.boolean(),
  }).index("by_batch_id", ["batchId"]),

  /** What one call added. Inserted by the call, deleted by the settlement of its last item. */
  chunks: defineTable({
    items: v.array(vValue),
    /** Keys of the items, by place, where there are any. */
    keys: v.optional(v.array(v.union(v.string(), v.null()))),
  }),

  /** Keys that are taken: another item with one of them is left out. */
  keys: defineTable({
    group: v.id("groups"),
    key: v.string(),
    /** Absent: until the item is sealed. */
    expiresAt: v.optional(v.number()),
  })
    .index("by_key", ["group", "key"])
    .index("by_expiry", ["expiresAt"]),

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
    /** Its items have keys. */
    keyed: v.optional(v.boolean()),
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
    /** When the latest flushes began, where they are throttled. */
    deliveries: v.optional(v.array(v.number())),
    /** When it last reported, and how many entries there were. */
    reported: v.optional(v.object({ at: v.number(), entries: v.number() })),
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

  /** Items that were out of attempts. Inserted by settlements, deleted by callers and the sweep. */
  dead: defineTable({
    group: v.id("groups"),
    batchId: v.string(),
    groupKey: v.optional(v.string()),
    item: vValue,
    error: v.string(),
    at: v.number(),
    /** What its group is made of again when it is redriven after the group was forgotten. */
    config: v.optional(vBatchConfig),
    expiresAt: v.optional(v.number()),
  })
    .index("by_batch_id", ["batchId"])
    .index("by_expiry", ["expiresAt"]),

  /** How flushes ended; the latest are kept. */
  history: defineTable({
    ...vFlushed.fields,
    entry: v.number(),
    expiresAt: v.optional(v.number()),
  })
    .index("by_time", ["batchId", "flushedAt"])
    .index("by_entry", ["batchId", "groupKey", "entry"])
    .index("by_expiry", ["expiresAt"]),

  /** At most one row: the sweep that is scheduled. Written by it, and by whoever schedules it. */
  sweeps: defineTable({ at: v.number() }),

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
    /** Another one than declared after a page broke a limit, or used little. */
    pageSize: v.optional(v.number()),
    /** Pages never grow beyond this again: a larger one broke a limit. */
    pageMax: v.optional(v.number()),
    /** When the row of a job that is over is deleted. */
    expiresAt: v.optional(v.number()),
    /** Attempts of `onComplete` that threw. */
    callbackAttempts: v.optional(v.number()),
    config: vJobConfig,
  })
    .index("by_job_id", ["jobId"])
    .index("by_status", ["status"])
    .index("by_expiry", ["expiresAt"]),
});
