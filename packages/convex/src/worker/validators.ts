/** What is stored of a worker, and what callers see of it. */
import { v, type Infer, type Value } from "convex/values";

export const vBackoff = v.object({ baseDelay: v.number(), maxDelay: v.number() });

/**
 * - `debounceMs`: delay of the first turn after a wake-up, ms.
 * - `monitorLagMs`: how often a busy loop is looked after, ms.
 * - `backoff`: first and longest delay after a failure, ms.
 * - `maxAttempts`: how often one batch is tried before it is given up.
 * - `isolate`: after a failure, the work query is asked for less.
 */
export const vConfig = v.object({
  debounceMs: v.optional(v.number()),
  monitorLagMs: v.optional(v.number()),
  backoff: v.optional(vBackoff),
  maxAttempts: v.optional(v.number()),
  isolate: v.optional(v.boolean()),
});

export type Config = Infer<typeof vConfig>;

export const vStatus = v.union(
  v.object({ kind: v.literal("idle") }),
  v.object({ kind: v.literal("running") }),
  v.object({ kind: v.literal("stopped") }),
);

/** Why a worker does what it does. */
export const vExplanation = v.object({
  name: v.string(),
  state: v.union(v.literal("idle"), v.literal("running"), v.literal("stopped")),
  config: vConfig,
  /** Failures in a row; 0 while all is well. */
  failures: v.number(),
  lastError: v.optional(v.object({ message: v.string(), at: v.number() })),
  /** When the next turn is due, ms since the epoch; absent while only a ping brings one. */
  nextTurnAt: v.optional(v.number()),
  /** When it last had work, or was woken. */
  workedAt: v.number(),
  /** What the work query is asked for at most, since a batch failed. */
  limit: v.optional(v.number()),
  /** Batches that were given up, at most 1,000. */
  dead: v.number(),
});

export const vListed = v.object({
  name: v.string(),
  state: v.union(v.literal("idle"), v.literal("running"), v.literal("stopped")),
  failing: v.boolean(),
});

/** How a turn's answer looks, once it was checked. */
export type Answer =
  | { readonly kind: "work"; readonly batch: Record<string, unknown>; readonly cursor?: Value }
  | {
      readonly kind: "idle";
      readonly cooldownMs: number;
      readonly pollIntervalMs: number;
      readonly timeoutMs?: number;
    };
