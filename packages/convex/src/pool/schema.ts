/** The pool's tables. Who writes a table, and when, is what keeps callers from waiting. */
import { defineSchema, defineTable } from "convex/server";
import { v } from "convex/values";
import { vValue } from "../base/values.js";
import {
  vConfig,
  vFunction,
  vFunctionType,
  vOnComplete,
  vPool,
  vQueue,
  vResult,
  vRetry,
  vRunKind,
} from "./validators.js";

export default defineSchema({
  /**
   * Payload: what up to 25 items of one call carry. Inserted by the call, read by the executor,
   * deleted with its last item. Never patched.
   */
  chunks: defineTable({
    fn: vFunction,
    /** Arguments of each item; its place in here is the second half of its id. */
    items: v.array(vValue),
    /** Contexts by place; a single one is everybody's. */
    contexts: v.optional(v.array(vValue)),
    onComplete: v.optional(vOnComplete),
    retry: v.optional(vRetry),
    /** Keep results for this long, ms, for `pollResult`. */
    keepMs: v.optional(v.number()),
    /** Keep an item that failed for good as a dead letter for this long, ms; 0 for not at all. */
    deadMs: v.optional(v.number()),
    isolate: v.optional(v.boolean()),
  }),

  /**
   * Unfinished items of one chunk that wait or run together. Inserted by a call (all items) or by a
   * settlement (retries). Then the loop's until it is assigned, then the executor's.
   */
  work: defineTable({
    chunk: v.id("chunks"),
    type: vFunctionType,
    pool: v.string(),
    /** Smaller goes first. */
    priority: v.number(),
    /** Places in the chunk; absent for all of them. */
    places: v.optional(v.array(v.number())),
    count: v.number(),
    bytes: v.number(),
    /** Attempts that ended before this one. */
    attempts: v.number(),
    /** Whether an item that may have run may run again. */
    again: v.boolean(),
    /** Executors that crashed while these items may have been running; they run alone now. */
    crashes: v.optional(v.number()),
    /** Another row of the chunk was made of this one. */
    spawned: v.optional(v.boolean()),
    /** Places that a caller asked to cancel. */
    canceled: v.optional(v.array(v.number())),
    /** Places that are settled already. */
    done: v.optional(v.array(v.number())),
    /** In the inbox: when the insert or the wake-up committed. Absent once assigned or delayed. */
    inbox: v.optional(v.commitTs()),
    /** Delayed: not before this, ms since the epoch. */
    dueAt: v.optional(v.number()),
    /** Rows of a key run one after another. */
    key: v.optional(v.string()),
    /** Its place among the rows of its key: when it got into the inbox first. */
    order: v.optional(v.commitTs()),
    /** Its place among those of the same commit: how many items of the call are before it. */
    seq: v.optional(v.number()),
    /** Its order again, while it waits for the rows before it. */
    held: v.optional(v.commitTs()),
    /** How its latest attempt failed. */
    error: v.optional(v.string()),
    /** Assigned: to whom, and in which of its rounds. */
    executor: v.optional(v.id("executors")),
    round: v.optional(v.number()),
  })
    .index("by_inbox", ["pool", "priority", "inbox"])
    .index("by_due", ["dueAt"])
    .index("by_chunk", ["chunk"])
    .index("by_executor", ["executor", "round"])
    .index("by_key", ["pool", "key", "order", "seq"])
    .index("by_held", ["pool", "key", "held", "seq"]),

  /**
   * One run: the lease. Inserted by the loop, then written by its own settlements, deleted by its
   * end or by its watch. Whoever writes for a run reads its row first; gone means superseded.
   */
  executors: defineTable({
    /** Known before the row: what the scheduled function and the watch are told. */
    token: v.string(),
    pool: v.string(),
    kind: vRunKind,
    /** How many items it may run at a time; an executor that runs dry gives slots back. */
    slots: v.number(),
    /** Rounds of assignments it has taken; items of later rounds were certainly not started. */
    taken: v.number(),
    /** Items settled so far, as of its last word. */
    settled: v.number(),
    /** It asked for more, and looks for it. */
    wants: v.boolean(),
    /** Mutations: how many share a transaction. */
    group: v.optional(v.number()),
    run: v.id("_scheduled_functions"),
    watch: v.id("_scheduled_functions"),
  }).index("by_token", ["token"]),

  /** One row. Read by every call; written when the loop sleeps, is woken, or is configured. */
  gate: defineTable({
    state: v.union(v.literal("idle"), v.literal("awake")),
    /** The turn that a waker schedules. */
    turn: v.number(),
    /** A turn that is scheduled for delayed work while idle. */
    timer: v.optional(v.id("_scheduled_functions")),
    /** What the latest waker scheduled; the monitor looks at it until the turn has run. */
    run: v.optional(v.id("_scheduled_functions")),
    /** Restarts a loop that died. */
    monitor: v.optional(v.id("_scheduled_functions")),
    declared: vConfig,
    /** What `config.update` stored; it wins. */
    override: vConfig,
    /** A differing declaration was reported. */
    warned: v.boolean(),
    /** How a `BatchWorkpool` runs its tasks. */
    executor: v.optional(v.object({ handle: v.string(), slots: v.number() })),
    /** Every (pool, priority) that was used since the loop last slept, or lately. */
    queues: v.array(vQueue),
    /** `declared` is nobody's yet: the next call that enqueues declares. */
    undeclared: v.optional(v.boolean()),
    /** Pools with a configuration of their own. */
    pools: v.optional(v.array(vPool)),
    /** Nothing of any pool is started. */
    paused: v.optional(v.boolean()),
  }),

  /** One row. Read by settlements; written when the loop waits for room, and by its waker. */
  parking: defineTable({
    parked: v.boolean(),
    /** The turn that a waker schedules. */
    turn: v.number(),
    run: v.optional(v.id("_scheduled_functions")),
    /** While parked: runs that are to make do with fewer slots, for pools that have less. */
    shares: v.optional(v.array(v.object({ executor: v.id("executors"), slots: v.number() }))),
    /** Pools that are paused: their runs give back what they have not begun. `true`: all. */
    stop: v.optional(v.union(v.boolean(), v.array(v.string()))),
  }),

  /** One row: the loop's memory. Written by the loop at every turn, by nobody else. */
  loop: defineTable({
    turn: v.number(),
    /** The next turn, unless asleep. */
    run: v.optional(v.id("_scheduled_functions")),
    /** The last turn left nothing waiting: the next one first looks whether it may sleep. */
    quiet: v.boolean(),
    /** It waits for room, and looks again before that: another pool may want its share. */
    timed: v.optional(v.boolean()),
    cursors: v.array(v.object({ pool: v.string(), priority: v.number(), ts: v.int64() })),
    lanes: v.array(
      v.object({
        executor: v.id("executors"),
        /** Assignments so far; each work row is a round of its own. */
        round: v.number(),
        /** Items assigned so far; of a key's items, which run one by one, one per row. */
        assigned: v.number(),
      }),
    ),
    /** When items of throttled pools were assigned, and how many. */
    starts: v.optional(v.array(v.object({ pool: v.string(), at: v.number(), count: v.number() }))),
  }),

  /** A callback that threw. Inserted by settlements, then its own retries'. */
  callbacks: defineTable({
    handle: v.string(),
    workId: v.string(),
    context: v.optional(vValue),
    result: vResult,
    attempts: v.number(),
    error: v.string(),
    /** Absent when it is out of attempts: a dead letter. */
    dueAt: v.optional(v.number()),
    /** It takes an array. */
    array: v.optional(v.boolean()),
    /** A dead letter is deleted after this. */
    expiresAt: v.optional(v.number()),
  })
    .index("by_due", ["dueAt"])
    .index("by_expiry", ["expiresAt"]),

  /**
   * Dead letters: items that failed for good. Inserted by settlements, deleted when they are
   * redriven, discarded or expire. Each keeps its payload row.
   */
  dead: defineTable({
    chunk: v.id("chunks"),
    place: v.number(),
    pool: v.string(),
    priority: v.number(),
    key: v.optional(v.string()),
    again: v.boolean(),
    bytes: v.number(),
    attempts: v.number(),
    error: v.string(),
    expiresAt: v.number(),
  })
    .index("by_item", ["chunk", "place"])
    .index("by_expiry", ["expiresAt"]),

  /** How many mutations of one function fit in a transaction, where 16 did not. */
  groups: defineTable({ handle: v.string(), size: v.number() }).index("by_handle", ["handle"]),

  /** Results that were asked to be kept. Inserted by settlements, deleted when they expire. */
  results: defineTable({
    chunk: v.id("chunks"),
    place: v.number(),
    result: vResult,
    expiresAt: v.number(),
  })
    .index("by_item", ["chunk", "place"])
    .index("by_expiry", ["expiresAt"]),
});
