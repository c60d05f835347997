/** The options of a pool and of its calls, as the user writes them. */
import type { PoolSettings, TaskSettings } from "../core/pool-settings.ts";
import type { StoredTask, TaskResult } from "../core/task.ts";
import type { DeadLetterOptions } from "./batch-options.ts";
import type { BatchContext } from "./context.ts";
import type { CheckedHandlers, PoolHandlers } from "./pool-handlers.ts";

export type { PoolRetry } from "../core/pool-settings.ts";
export type { StoredTask, TaskResult } from "../core/task.ts";

/** How a task ended, for `onComplete`. */
export interface Completion {
  /** Id of the task. */
  readonly id: string;
  /** Name of its handler. */
  readonly name: string;
  /** As `enqueue` was given it; `undefined` without. */
  readonly context: unknown;
  readonly result: TaskResult;
}

/** What `onCompleteBatch` is given besides the completions. */
export type CompletionContext = Pick<
  BatchContext<unknown>,
  "id" | "attempt" | "signal" | "tx" | "fail" | "log"
>;

/** Options of `bw.pool(…)`. `H` are its handlers. */
export interface PoolOptions<H extends PoolHandlers> extends PoolSettings {
  /**
   * What runs a task, by name: `async (args, ctx) => …`, or an object with that as `handler` and a
   * `schema`, `retry` or `timeout` (see `task`). What `enqueue` takes follows from them. Required.
   */
  readonly handlers: H & CheckedHandlers<H>;
  /**
   * Called when a task succeeded, failed for good or was canceled: at least once, in one process
   * that defines the pool, also after a crash; again later when it throws. Default: none.
   */
  readonly onComplete?: (completion: Completion) => unknown;
  /**
   * The same for many tasks at once, at most 500, instead of `onComplete`. `ctx.fail(index, error)`
   * has one of them told again, a throw all. What is written in `ctx.tx` is written once. Default:
   * none.
   */
  readonly onCompleteBatch?: (completions: Completion[], ctx: CompletionContext) => unknown;
  /** What happens beside storing them when tasks have failed for good. Default: nothing. */
  readonly deadLetter?: DeadLetterOptions<StoredTask>;
}

/** Options of `enqueue`. */
export interface EnqueueOptions extends TaskSettings {
  /** Handed to `onComplete` and to the handler; stored with the task. Default: none. */
  readonly context?: unknown;
  /**
   * A transaction that you hold open: the task exists if and only if it commits, as for `add`.
   * Default: a commit of its own.
   */
  readonly tx?: unknown;
  /**
   * Stores the task once, however often it is enqueued under this key: 1 to 512 characters, unique
   * in its pool until `keyTtlMs` after the task ended. A repeat returns the id of the first; other
   * content under the key is `KEY_CONFLICT`. Default: none.
   */
  readonly idempotencyKey?: string | undefined;
}

/** Options of `enqueueBatch`, for all its tasks together. */
export interface EnqueueBatchOptions<A> extends Omit<EnqueueOptions, "idempotencyKey"> {
  /** The key of each task; `undefined` for one without. Default: none has one. */
  readonly idempotencyKey?: ((args: A, index: number) => string | undefined) | undefined;
}

/** Options of `result`. */
export interface ResultOptions {
  /** How long to wait, ms; then it rejects with `RESULT_TIMEOUT`. Default: no limit. */
  readonly timeoutMs?: number;
}
