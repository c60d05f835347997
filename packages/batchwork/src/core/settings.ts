/** Every option that is data: what it means, its unit, range and default. */
import type { RemoveOption } from "./retention-option.ts";

/** Options of an engine that are data. */
export interface EngineSettings {
  /**
   * Handlers that run at a time in this process, for each definition that does not say otherwise.
   * 1 to 1,000. Default 5, as OqronKit's `concurrency`.
   */
  readonly concurrency?: number;
  /**
   * How long a batch stays with a process that no longer answers, ms. After that another process
   * takes it over. 100 to 86,400,000 (one day). Default 15,000.
   */
  readonly leaseMs?: number;
  /**
   * How often a process says that it is alive, ms. 10 to half of `leaseMs`, so that one lost beat
   * loses no lease. Default a third of `leaseMs`: 5,000.
   */
  readonly heartbeatMs?: number;
  /**
   * At most this long without a look at the storage, ms; up to a fifth less, by chance. A backstop:
   * work is normally noticed at once. On PostgreSQL a process with nothing to do looks two and a
   * half times as seldom, so by default it sends less than one query a second. 10 to 3,600,000
   * (one hour). Default 1,000, as OqronKit's `tickIntervalMs`.
   */
  readonly tickIntervalMs?: number;
  /**
   * How often the storage is asked whether another process wrote to it, ms; one call of a few
   * microseconds. 1 to 3,600,000 (one hour). Default 50.
   */
  readonly pollMs?: number;
  /**
   * A batch that was running alone in its process when that died, this many times, is dead: its
   * items become dead letters (`CRASHED`). 1 to 100. Default 3.
   */
  readonly maxCrashes?: number;
  /**
   * Accepted so that a configuration of OqronKit's `batchModule` can be kept, and without effect:
   * there is no leader. Every process seals and claims batches, and each batch goes to one of them.
   */
  readonly leaderElection?: boolean;
}

/** Options of a definition that are data. */
export interface BatchSettings {
  /**
   * Unique in its engine. The same name is the same batch in every process and after every restart.
   * 1 to 128 characters: letters, digits and `_ . : -`. Required.
   */
  readonly name: string;
  /**
   * Most items in a batch, 1 to 100,000. Handed over at once when so many wait. As OqronKit's
   * `maxSize`, but a cap as well: no batch ever has more. Required.
   */
  readonly maxSize: number;
  /**
   * How long the oldest item waits for a batch to fill before it is handed over all the same, ms. 0
   * to 31,536,000,000 (365 days); 0 hands over what is there. Required.
   */
  readonly maxWaitMs: number;
  /**
   * Most bytes in a batch (its items as UTF-8 text), 1 or more. Handed over at once when so many
   * wait; a single item may not have more. Default `Infinity`: no cap.
   */
  readonly maxBytes?: number;
  /**
   * Batches of one group that run at a time, over all processes. 1 to 1,000, or `Infinity` for no
   * limit. Only with `groupBy`. Default 1, which keeps each group in order.
   */
  readonly groupConcurrency?: number;
  /**
   * Lets the size of batches follow how long the handler takes: it begins at `minSize`, grows by a
   * tenth at most with each full batch that left time, and halves at once when one took longer
   * than `target.durationMs` or timed out. Never more than `maxSize`. Each process measures for
   * itself and begins anew when it starts. Default: batches of up to `maxSize` from the start.
   */
  readonly target?: TargetOptions;
  /**
   * The size that `target` begins with and never goes below. 1 to `maxSize`. Only with `target`.
   * Default 1.
   */
  readonly minSize?: number;
  /**
   * Limits how often handlers begin, over all processes: at most `max` deliveries in any span of
   * `duration`. Every delivery counts, retries and what `flush()` asks for as well. Processes that
   * share a storage must agree on it. Default: no limit.
   */
  readonly throttle?: ThrottleOptions;
  /**
   * Limits how much may be pending, over all processes: accepted, and neither done nor dead.
   * Default: no limit.
   */
  readonly maxPending?: PendingOptions;
  /**
   * What is kept of batches that are done: `true` nothing, `false` all of them, a number the latest
   * so many, `{ count, age }` both at most (`age` in seconds), with their items, so that
   * `replay(batchId)` can hand them over again. Removed within a minute or so. As OqronKit's.
   * A batch of which items failed is over, too, and counts. Default: the latest 10,000 (1,000 in
   * memory), without their items.
   */
  readonly removeOnComplete?: RemoveOption;
  /**
   * What is kept of dead letters, said in the same way. None is removed before `onDead` was called
   * for it, where it is to be. As OqronKit's. Default `false`: all, until they are redriven or
   * discarded.
   */
  readonly removeOnFail?: RemoveOption;
  /**
   * Of what processes have to agree on: `groupConcurrency`, `throttle`, `maxPending`,
   * `removeOnComplete` and `removeOnFail`. Where definitions of one name differ, the highest
   * version counts in all processes, and of equal ones the latest. 1 or more. Default 1.
   */
  readonly version?: number;
  /** Handlers of it that run at a time in this process. 1 to 1,000. Default the engine's. */
  readonly concurrency?: number;
  /** When and how often failed items are tried again. Default: never. */
  readonly retries?: RetryOptions;
  /**
   * What a throw means that names no item with `ctx.fail`. `"retry"`: all items failed. `"bisect"`:
   * the batch is cut in two, at once and without using up attempts, until the items that cause it
   * are alone. Default `"retry"`.
   */
  readonly onFailure?: "retry" | "bisect";
  /**
   * How long a handler may run, ms; then `ctx.signal` aborts and the attempt has failed
   * (`HANDLER_TIMEOUT`). 1 to 31,536,000,000 (365 days). Default: no limit.
   */
  readonly timeout?: number;
  /**
   * True keeps items in the engine's storage. False keeps them in this process's memory: faster,
   * and gone when the process dies. Default true.
   */
  readonly persist?: boolean;
  /**
   * How long an `idempotencyKey` is remembered after its item ended, ms: it was done, or discarded
   * as a dead letter. Until then it is remembered in any case. 0 to 31,536,000,000 (365 days), or
   * `Infinity` for ever. Default 86,400,000 (one day).
   */
  readonly keyTtlMs?: number;
  /**
   * How long the result of an item is kept that was added by `submit`, or with `keepResult`, ms. 0
   * to 31,536,000,000 (365 days), or `Infinity` for ever. Default 86,400,000 (one day).
   */
  readonly resultTtlMs?: number;
  /**
   * Words to find the definition by: `bw.batches({ tag })`, `status()`, events, hooks and telemetry
   * have them. At most 64 of 1 to 128 characters. Default none.
   */
  readonly tags?: readonly string[];
}

/** How often handlers may begin. */
export interface ThrottleOptions {
  /** Most deliveries in any span of `duration`. 1 to 1,000,000. Required. */
  readonly max: number;
  /** Length of the span, ms. 1 to 31,536,000,000 (365 days). Required. */
  readonly duration: number;
}

/** How much may be pending. At least one of `items` and `bytes`. */
export interface PendingOptions {
  /** Most items. 1 or more. Default: no limit. */
  readonly items?: number;
  /** Most bytes (items as UTF-8 text). 1 or more. Default: no limit. */
  readonly bytes?: number;
  /**
   * What an add does that does not fit. `"reject"`: rejects with `QUEUE_FULL`. `"wait"`: waits its
   * turn until there is room; inside a transaction of the caller's it rejects all the same.
   * Default `"reject"`.
   */
  readonly policy?: "reject" | "wait";
}

/** What the size of batches is to follow. */
export interface TargetOptions {
  /** How long a handler is meant to take, ms. 1 to 31,536,000,000 (365 days). Required. */
  readonly durationMs: number;
}

/** When and how often failed items are tried again. */
export interface RetryOptions {
  /** Retries after the first attempt, 0 to 10,000. Default 0, as OqronKit's. */
  readonly max?: number;
  /**
   * `"exponential"` doubles `baseDelay` with every attempt, `"fixed"` does not. Default
   * `"exponential"`.
   */
  readonly strategy?: "exponential" | "fixed";
  /** Delay before the first retry, ms. 0 to 31,536,000,000 (365 days). Default 1,000. */
  readonly baseDelay?: number;
  /**
   * No delay is longer than this, ms. `baseDelay` to 31,536,000,000 (365 days). Default 3,600,000
   * (one hour), or `baseDelay` where that is longer.
   */
  readonly maxDelay?: number;
  /**
   * Share of each delay that is taken off at random, so that failures of one moment do not come
   * back in one moment. 0 to 1. Default 0.
   */
  readonly jitter?: number;
}
