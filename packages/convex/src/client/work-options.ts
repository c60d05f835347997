/** The options of a pool and of a call. */
import type { FunctionReference, FunctionVisibility } from "convex/server";
import { v, type Infer } from "convex/values";
import type { LogLevel } from "../base/log.js";
import type { OnCompleteArgs, RunResult, WorkStatus } from "./work-id.js";

/** How an action that fails is tried again. */
export const vRetryBehavior = v.object({
  maxAttempts: v.number(),
  initialBackoffMs: v.number(),
  base: v.number(),
});

/**
 * - `maxAttempts`: attempts in all; 2 means one retry.
 * - `initialBackoffMs`: delay before the first retry, ms.
 * - `base`: each further delay is this many times the one before. Every delay is spread at random
 *   between half and one and a half of itself.
 */
export type RetryBehavior = Infer<typeof vRetryBehavior>;

export const DEFAULT_RETRY_BEHAVIOR: RetryBehavior = {
  maxAttempts: 5,
  initialBackoffMs: 250,
  base: 2,
};

export interface WorkpoolRetryOptions {
  /** Used where `retry: true` is given. Default: 5 attempts, 250 ms, base 2. */
  defaultRetryBehavior?: RetryBehavior;
  /** Retry actions without being asked per call. Only for idempotent actions. Default: false. */
  retryActionsByDefault?: boolean;
}

export interface WorkpoolOptions extends WorkpoolRetryOptions {
  /**
   * Functions that run at a time; 0 pauses. From 0 to 200, default 10. The first declaration of an
   * instance is stored and stays; `config.update` overrides it.
   */
  maxParallelism?: number;
  /** Default: the component's `LOG_LEVEL`, else "REPORT". */
  logLevel?: LogLevel;
  /**
   * The pool of the instance that this one is. Pools share the instance's `maxParallelism`: what
   * one does not use is the others'. Default: the unnamed pool.
   */
  pool?: string;
  /**
   * At most `max` items of this pool begin in any `duration` ms, retries included. It may take a
   * twentieth longer. The first declaration is stored, as for `maxParallelism`. Default: no limit.
   */
  throttle?: { max: number; duration: number };
  /**
   * How long an attempt of an action, or of a query, may take, ms; then it failed, and is tried
   * again where actions are retried. It is not stopped: Convex cannot; what it returns is ignored.
   * Default: as long as the platform lets it.
   */
  actionTimeoutMs?: number;
  /** How long results are kept for `pollResult`, ms. Default: not at all. */
  ttl?: number;
  /**
   * How long work that failed for good is kept as a dead letter, ms, for `deadLetters` and
   * `redrive`. 0: not at all. Default: 604,800,000 (7 days).
   */
  deadLetterTtl?: number;
  /**
   * The `@convex-dev/workpool` that this pool replaces: asked for ids that are not ours, until the
   * last of them is gone.
   */
  legacy?: LegacyWorkpool;
}

/** What is asked of a pool that is being replaced. */
export interface LegacyWorkpool {
  readonly lib: {
    readonly status: FunctionReference<"query", "internal", { id: string }, WorkStatus>;
    readonly cancel: FunctionReference<"mutation", "internal", { id: string }>;
  };
}

export interface RetryOption {
  /** Whether, or how, an action that fails is tried again. Default: the pool's. */
  retry?: boolean | RetryBehavior;
}

interface CommonOptions<Context, ReturnValue> {
  /** For logs. Default: the path of the function. */
  name?: string;
  /** A mutation that is called when the work ended, in the transaction that records it. */
  onComplete?: FunctionReference<
    "mutation",
    FunctionVisibility,
    OnCompleteArgs<Context, ReturnValue>
  > | null;
  /**
   * Instead of `onComplete`: a mutation that is called once for all that ended together, up to 64,
   * with `{ items: [{ workId, context, result }] }`. When it throws, it is called with each half.
   */
  onCompleteBatch?: FunctionReference<
    "mutation",
    FunctionVisibility,
    { items: OnCompleteArgs<Context, ReturnValue>[] }
  > | null;
  /** Ends for which neither of the two is called. Default: none. */
  onCompleteExcludeKinds?: readonly RunResult["kind"][];
  /** Handed to `onComplete`. At most 1,000,000 bytes together with the arguments of an item. */
  context?: Context;
  /** Smaller goes first. Few different ones: each is a queue of its own. Default: 0. */
  priority?: number;
  /**
   * Work of the same key runs one after another, in the order of its commits; what is delayed gets
   * its place when it is due. An item that is tried again holds up those behind it until it ends.
   * At most 512 characters. Default: none.
   */
  serialKey?: string;
  /**
   * Runs each mutation, and calls each `onComplete`, in a transaction that it shares with no other
   * one, instead of up to 16 in one, as sub-transactions. Default: false.
   */
  isolate?: boolean;
}

/** Not before a time (`runAt`, ms since the epoch) or a delay (`runAfter`, ms). */
type When = { runAt?: number; runAfter?: never } | { runAfter?: number; runAt?: never };

export type EnqueueOptions<Context = unknown, ReturnValue = unknown> = CommonOptions<
  Context,
  ReturnValue
> &
  When;
