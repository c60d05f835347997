/** Every option of a pool and of a call of it that is data: meaning, unit, range and default. */
import type { PendingOptions, ThrottleOptions } from "./settings.ts";

/** How often, and when, a task that failed is tried again. */
export interface PoolRetry {
  /** Attempts in all; 2 means one retry. 1 to 10,001. Default 5. */
  readonly maxAttempts?: number;
  /** Delay before the first retry, ms. 0 to 31,536,000,000 (365 days). Default 250. */
  readonly initialBackoffMs?: number;
  /** Each further delay is this many times the one before. 1 to 100. Default 2. */
  readonly base?: number;
  /**
   * No delay is longer than this, ms. `initialBackoffMs` to 31,536,000,000 (365 days). Default
   * 3,600,000 (one hour), or `initialBackoffMs` where that is more.
   */
  readonly maxBackoffMs?: number;
}

/** Options of a pool that are data. */
export interface PoolSettings {
  /**
   * Unique in its engine, among batches and pools. The same name is the same pool in every process
   * and after every restart. 1 to 128 characters: letters, digits and `_ . : -`. Required.
   */
  readonly name: string;
  /**
   * Tasks that run at a time, over all processes. 0 to 1,000,000; 0 pauses. What
   * `config.update` stored counts instead, also after a restart. Default 10.
   */
  readonly maxParallelism?: number;
  /** Tasks that run at a time in this process. 1 to 100,000. Default 1,000. */
  readonly maxConcurrencyPerWorker?: number;
  /**
   * Most bytes of the tasks that this process has at a time, as stored; a single task always fits.
   * 1 or more, or `Infinity`. Default 67,108,864 (64 MiB).
   */
  readonly maxBytesPerWorker?: number;
  /**
   * This process claims nothing more while its heap is larger than this, MB. 1 or more, or
   * `Infinity` for no limit. Default: 70 % of what the heap may grow to.
   */
  readonly maxHeapMB?: number;
  /**
   * This process claims nothing more while its event loop is later than this, ms. 1 to 60,000, or
   * `Infinity` for no limit. Default 250.
   */
  readonly maxLoopLagMs?: number;
  /**
   * `true`, or how: tasks that fail are tried again. Each delay is drawn at random between half of
   * itself and all of it. For handlers that may run twice. Default false: one attempt.
   */
  readonly retry?: boolean | PoolRetry;
  /**
   * How long a task may run, ms; then `ctx.signal` aborts and the attempt has failed
   * (`HANDLER_TIMEOUT`). 1 to 31,536,000,000 (365 days). Default: no limit.
   */
  readonly timeout?: number;
  /** Tasks of one `serialKey` that run at a time, over all processes. 1 to 1,000. Default 1. */
  readonly concurrencyPerKey?: number;
  /**
   * Limits how often tasks begin, over all processes: at most `max` in any span of `duration`.
   * Retries count. Default: no limit.
   */
  readonly throttle?: ThrottleOptions;
  /**
   * Limits how much may be pending, over all processes: tasks that wait, are delayed, run or are to
   * be tried again. A task counts until it is settled. Default: no limit.
   */
  readonly maxPending?: PendingOptions;
  /**
   * Of what processes have to agree on: `throttle` and `maxPending`. Where definitions of one name
   * differ, the highest version counts in all processes, and of equal ones the latest. 1 or more.
   * Default 1.
   */
  readonly version?: number;
  /**
   * How long the result of a task is kept after it ended, ms: 0 keeps none, `Infinity` keeps all.
   * 0 to 31,536,000,000 (365 days). Default 86,400,000 (one day).
   */
  readonly ttl?: number;
  /** As for batches: how long an `idempotencyKey` is remembered, ms. Default one day. */
  readonly keyTtlMs?: number;
  /**
   * True keeps tasks in the engine's storage. False keeps them in this process's memory: faster,
   * and gone when the process dies. Tasks that may start run before `stop()` ends, within its
   * grace; later ones are lost. Default true.
   */
  readonly persist?: boolean;
  /** Words to find the pool by, as for batches. At most 64. Default none. */
  readonly tags?: readonly string[];
}

/** What one call may say of its tasks. */
export interface TaskSettings {
  /** Not before this time: ms since the epoch, or a `Date`. Not with `runAfter`. Default: now. */
  readonly runAt?: number | Date;
  /** Not before so many ms passed. 0 to 31,536,000,000 (365 days). Default 0. */
  readonly runAfter?: number;
  /** Smaller goes first. A whole number from -1,000,000 to 1,000,000. Default 0. */
  readonly priority?: number;
  /**
   * Tasks with the same key run one after another, in the order in which they were stored (see
   * `concurrencyPerKey`). A string of 1 to 512 characters. Default: none.
   */
  readonly serialKey?: string;
  /** Instead of the handler's or the pool's `retry`; false is one attempt. */
  readonly retry?: boolean | PoolRetry;
  /** Instead of the handler's or the pool's `timeout`. */
  readonly timeout?: number;
}
