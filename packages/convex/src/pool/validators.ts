/** Validators that the pool's tables and functions share. */
import { v, type Infer } from "convex/values";
import { vValue } from "../base/values.js";
import { vLogLevel } from "../base/log.js";

export const vFunctionType = v.union(
  v.literal("action"),
  v.literal("mutation"),
  v.literal("query"),
  /** An action or a mutation: the caller could not tell. */
  v.literal("either"),
  /** A handler of a `BatchWorkpool`, in the app's executor. */
  v.literal("inline"),
);

/** What to call for each item. */
export const vFunction = v.object({
  type: vFunctionType,
  /** A function handle; or, in a `BatchWorkpool`, the name under which it was registered. */
  handle: v.string(),
  /** For logs and lists. */
  name: v.string(),
  /** An attempt that takes longer failed, ms. */
  timeoutMs: v.optional(v.number()),
});

export const vRetry = v.object({
  maxAttempts: v.number(),
  initialBackoffMs: v.number(),
  base: v.number(),
});

export const vResultKind = v.union(
  v.literal("success"),
  v.literal("failed"),
  v.literal("canceled"),
);

export const vOnComplete = v.object({
  handle: v.string(),
  exclude: v.optional(v.array(vResultKind)),
  /** Called once per settlement, with an array. */
  array: v.optional(v.boolean()),
});

export const vResult = v.union(
  v.object({ kind: v.literal("success"), returnValue: vValue }),
  v.object({ kind: v.literal("failed"), error: v.string() }),
  v.object({ kind: v.literal("canceled") }),
);

export const vStatus = v.union(
  v.object({ state: v.literal("pending"), previousAttempts: v.number() }),
  v.object({ state: v.literal("running"), previousAttempts: v.number() }),
  v.object({ state: v.literal("finished") }),
);

/** At most `max` items begin in any `duration` ms. */
export const vThrottle = v.object({ max: v.number(), duration: v.number() });

/** What holds for a whole instance: declared in a constructor, overridden by `config.update`. */
export const vConfig = v.object({
  maxParallelism: v.optional(v.number()),
  logLevel: v.optional(vLogLevel),
});

/** What holds for one pool of an instance. */
export const vPoolConfig = v.object({ throttle: v.optional(vThrottle) });

/** What is known of a pool of an instance beyond its work. */
export const vPool = v.object({
  pool: v.string(),
  declared: vPoolConfig,
  override: vPoolConfig,
  /** Nothing of it is started. */
  paused: v.optional(v.boolean()),
});

/** Items of one pool and priority, in the order of their commits. Smaller priorities go first. */
export const vQueue = v.object({ pool: v.string(), priority: v.number() });

/** Who runs a work row: our action, the app's, or one component mutation per row. */
export const vRunKind = v.union(v.literal("action"), v.literal("inline"), v.literal("mutation"));

/** What a settlement needs to know to call back. */
export const vCallback = v.object({
  handle: v.string(),
  context: v.optional(vValue),
  /** In a settlement with no other callback. */
  isolate: v.optional(v.boolean()),
  /** Called with an array of all that ended in the settlement. */
  array: v.optional(v.boolean()),
});

/** How one attempt of one item ended. */
export const vOutcome = v.object({
  work: v.id("work"),
  place: v.number(),
  result: vResult,
  /** Try again, not before this; the result is not final then. */
  retryAt: v.optional(v.number()),
  callback: v.optional(vCallback),
  keepMs: v.optional(v.number()),
  /** How long it is a dead letter when it failed, ms; 0 for not at all. */
  deadMs: v.optional(v.number()),
});

/** One work row with its payload, as an executor takes it. */
export const vTaken = v.object({
  work: v.id("work"),
  chunk: v.id("chunks"),
  fn: vFunction,
  attempts: v.number(),
  bytes: v.number(),
  items: v.array(
    v.object({
      place: v.number(),
      args: vValue,
      context: v.optional(vValue),
      canceled: v.optional(v.boolean()),
    }),
  ),
  onComplete: v.optional(vOnComplete),
  retry: v.optional(vRetry),
  keepMs: v.optional(v.number()),
  deadMs: v.optional(v.number()),
  isolate: v.optional(v.boolean()),
  /** One item at a time, in their order; what follows a retry waits for it. */
  serial: v.optional(v.boolean()),
});

export type FunctionType = Infer<typeof vFunctionType>;
export type Result = Infer<typeof vResult>;
export type Status = Infer<typeof vStatus>;
export type Config = Infer<typeof vConfig>;
export type PoolConfig = Infer<typeof vPoolConfig>;
export type Pool = Infer<typeof vPool>;
export type Throttle = Infer<typeof vThrottle>;
export type Queue = Infer<typeof vQueue>;
export type RunKind = Infer<typeof vRunKind>;
export type Outcome = Infer<typeof vOutcome>;
export type Taken = Infer<typeof vTaken>;
export type RetryBehavior = Infer<typeof vRetry>;
