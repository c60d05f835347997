/** The worker's tables. Who writes a table, and when, is what keeps pings from waiting. */
import { defineSchema, defineTable } from "convex/server";
import { v } from "convex/values";

export default defineSchema({
  /** One row per name. Read by every ping; written when the loop sleeps, wakes, stops or moves. */
  workers: defineTable({
    name: v.string(),
    state: v.union(v.literal("idle"), v.literal("running"), v.literal("stopped")),
    /** The turn of the loop that a waker schedules. */
    turn: v.number(),
    workQuery: v.string(),
    workerMutation: v.string(),
    config: v.object({ debounceMs: v.optional(v.number()), monitorLagMs: v.optional(v.number()) }),
    /** A differing declaration was reported. */
    warned: v.boolean(),
    /** The turn that is scheduled while idle, for work that is due later. */
    timer: v.optional(v.object({ at: v.number(), run: v.id("_scheduled_functions") })),
  }).index("by_name", ["name"]),

  /** One row per name: the loop's memory. Written by the loop at every turn. */
  loops: defineTable({
    worker: v.id("workers"),
    turn: v.number(),
    run: v.optional(v.id("_scheduled_functions")),
    monitor: v.optional(v.id("_scheduled_functions")),
    cursor: v.optional(v.any()),
    /** Failures in a row, of the same batch. */
    failures: v.number(),
    lastError: v.optional(v.object({ message: v.string(), at: v.number() })),
  }).index("by_worker", ["worker"]),
});
