/** The worker's tables. Who writes a table, and when, is what keeps pings from waiting. */
import { defineSchema, defineTable } from "convex/server";
import { v } from "convex/values";
import { vValue } from "../base/values.js";
import { vConfig } from "./validators.js";

export default defineSchema({
  /**
   * One row per name. Read by every ping; written when the worker sleeps, wakes, stops, or begins
   * or ends to fail.
   */
  workers: defineTable({
    name: v.string(),
    state: v.union(v.literal("idle"), v.literal("running"), v.literal("stopped")),
    workQuery: v.string(),
    workerMutation: v.string(),
    config: vConfig,
    /** What `config.update` stored; it wins. */
    override: v.optional(vConfig),
    /** A mutation that takes a batch that is given up out of the queue. */
    onDead: v.optional(v.string()),
    /** Its latest turn failed: a ping may bring another declaration while it runs. */
    failing: v.boolean(),
    /** A differing declaration was reported, since it was last woken. */
    warned: v.boolean(),
  }).index("by_name", ["name"]),

  /** One row per name: the loop's memory. Written by the loop at every turn, else by its wakers. */
  loops: defineTable({
    worker: v.id("workers"),
    /** The fencing token: any turn with another number was superseded, and changes nothing. */
    turn: v.number(),
    /** The next turn, and when it is due; while idle, a turn for work that is due later. */
    run: v.optional(v.id("_scheduled_functions")),
    runAt: v.number(),
    cursor: v.optional(vValue),
    /** When it last had work, or was woken. */
    workedAt: v.number(),
    /** Failures in a row. */
    failures: v.number(),
    lastError: v.optional(v.object({ message: v.string(), at: v.number() })),
    /** A digest of the latest batch, if it left no trace: no write, no new cursor. */
    untouched: v.optional(v.string()),
    /** The batch that failed last, by its digest, and how often. */
    poison: v.optional(v.object({ digest: v.string(), attempts: v.number() })),
    /** With `isolate`, since a failure: what the work query is asked for at most. */
    limit: v.optional(v.number()),
  }).index("by_worker", ["worker"]),

  /** One row per name: who looks after the loop. Written by the monitor, and at transitions. */
  monitors: defineTable({
    worker: v.id("workers"),
    run: v.optional(v.id("_scheduled_functions")),
  }).index("by_worker", ["worker"]),

  /** Batches that were given up. Inserted by the loop; deleted by callers, or when they expire. */
  dead: defineTable({
    name: v.string(),
    /** What the worker mutation was called with; absent when it is too large for a document. */
    batch: v.optional(vValue),
    workerMutation: v.string(),
    error: v.string(),
    attempts: v.number(),
    expiresAt: v.number(),
  })
    .index("by_name", ["name"])
    .index("by_expiry", ["expiresAt"]),
});
