/**
 * The part of the storage port that runs the items of a queue one by one: tasks of a pool.
 *
 * A pool is a queue. Its tasks are enqueued by the same `append`s as the items of batches, in
 * chunks, and a task's id is that of the item (`core/members.ts`). The group of a chunk is a lane
 * (`core/lane.ts`): a priority and a serial key; `dueInMs` is the time until its tasks may start.
 * So 10,000 equal tasks are a handful of rows, and distinct delays, priorities or keys cost one
 * each. Nothing of a pool is ever claimed by `Storage.exchange`, and queues without tasks do
 * without any of this.
 *
 * A *slice* is what a batch is to a batch's queue: some tasks of one chunk, with the same attempt,
 * on their way to a handler. A claim cuts it to the capacity that is free, so unlike a batch it has
 * no content of its own to keep: what a crash or a failure leaves of it goes on as other slices.
 *
 * A leased slice shrinks as its tasks are settled, and is over with the last of them. Pauses
 * (`setPaused`), dead letters and their redrive, and throttles are those of the queue;
 * `Storage.retire`, `reap` and `absolve` see to slices as they do to batches, with one difference:
 *
 * *Suspects.* Tasks whose process died go on as suspects: they run apart from everything else, an
 * eighth as many at a time as ran when the process died, and an eighth of that if it dies again
 * (`core/task-crash.ts`); those that saw the fewest deaths go first. Only the death of a process
 * that ran one single task counts as a crash of that task; after `maxCrashes` it is a dead letter
 * (`CRASHED`) and has failed.
 *
 * *Results.* How a task ended is kept for the pool's `resultTtlMs`, and then deleted in bounded
 * steps by `reap`. It is appended in the transaction in which the task ends, and never rewritten.
 *
 * *Callbacks.* Who is to be told that tasks ended is told through another queue, that of batches
 * (`PoolDefinition.callbacks`): what it is told is appended there in the transaction in which the
 * tasks end, and from then on is as safe, and delivered as often, as any item. The runtime brings
 * what it says of tasks that it settles. Of tasks that the storage itself ends (cancelled ones, and
 * those that killed their process) it appends an `EndedTask` each (`core/ended-task.ts`).
 */
import type { EndedTask } from "../core/ended-task.ts";
import type { StoredError } from "../core/errors.ts";
import type { Lease } from "../core/lease.ts";
import type { Payload } from "./storage.ts";
import type { Throttled } from "./throttling.ts";

export interface PoolStorage {
  /**
   * Says what the storage has to know of pools. The queues are defined before. A definition that
   * differs from the stored one takes its place; it never touches an override of the parallelism.
   */
  define(pools: readonly PoolDefinition[]): Promise<void>;

  /**
   * Overrides `maxParallelism` of all definitions from the next claim on, in every process and
   * across restarts; 0 starts nothing. `null` gives the definitions their say again.
   */
  setParallelism(queue: number, maxParallelism: number | null): Promise<void>;

  /** The stored override. */
  parallelism(queue: number): Promise<number | null>;

  /**
   * Settles tasks, then claims slices, in one transaction.
   *
   * Settling: a settlement whose token is the slice's current one is carried out, otherwise nothing
   * of it is: `"lost"`. An index that the slice does not hold (any more) has no effect. A task that
   * was cancelled meanwhile is over already: its outcome is dropped, and its callback with it.
   *
   * Claiming, for each pool that is not paused: tasks that are due, up to `limit` and `maxBytes`
   * (but a single task always moves), in order of priority, the smaller number first. Among lanes
   * of the same priority, each turn goes to the serial key that was served the longest ago, and the
   * capacity is shared out evenly between those that wait. Tasks of one key, and those without one,
   * start in the order in which they became due, then in that of their ids. One that waits for
   * another attempt does not hold up the others of its key.
   *
   * Never are more tasks of a pool leased than the parallelism allows, nor more of a serial key
   * than `concurrencyPerKey`, over all processes: what counts is each task of a leased slice that
   * is not settled, also where its lease has run out and its owner was not declared dead yet.
   * Every task that is handed over is a delivery for the throttle.
   *
   * Suspects are claimed only when `alone` is true, then before anything else, and nothing is
   * claimed beside them. The limits hold for them as well.
   *
   * An incarnation that was declared dead writes nothing: every settlement is `"lost"` and nothing
   * is claimed, but the exchange resolves. After a failure the caller does not know which leases it
   * holds: it calls `reconcile`.
   */
  exchange(request: PoolExchange): Promise<PoolExchanged>;

  /** As `Storage.reconcile`, for slices. */
  reconcile(incarnation: number, known: readonly Lease[]): Promise<Lease[]>;

  /**
   * Gives what is left of slices back unfinished, under their tokens: nothing counts. Cancelled
   * tasks do not go on.
   */
  release(leases: readonly Lease[]): Promise<void>;

  /**
   * Ends tasks as cancelled, position by position: the result, the callback and the idempotency key
   * see to it at once. Of a task that runs, the outcome does not count any more; it goes on to hold
   * its place in the limits until its owner settles it, who is told (`PoolExchanged.canceled`).
   * Of settling and cancelling the same task exactly one wins.
   */
  cancel(queue: number, ids: readonly string[]): Promise<CancelAnswer[]>;

  /**
   * The same for tasks of the pool that are neither over nor cancelled, in the order of their ids:
   * those of at most `slices` slices. `more` is true when there may be others; a caller goes on.
   */
  cancelAll(queue: number, slices: number): Promise<{ canceled: number; more: boolean }>;

  /** Where tasks are, position by position, in one look. */
  findTasks(queue: number, ids: readonly string[]): Promise<FoundTask[]>;

  /** Counts of a pool. */
  counts(queue: number): Promise<PoolCounts>;
}

/** What a storage with pools has. */
export interface Pooling {
  readonly pools: PoolStorage;
}

export interface PoolDefinition {
  readonly queue: number;
  /** The queue of batches that is told when tasks end; `null` when nobody is. */
  readonly callbacks: number | null;
  /** For how long results are kept, ms; `Infinity` for ever, 0 for not at all. */
  readonly resultTtlMs: number;
}

export interface PoolExchange {
  /** Owner of what is claimed. */
  readonly incarnation: number;
  /** No slice twice. */
  readonly settlements: readonly TaskSettlement[];
  readonly claims: readonly PoolClaim[];
  /** True when the process runs nothing at all, so suspects may be handed to it. */
  readonly alone: boolean;
}

/** How some tasks of a slice ended. No index comes twice in it; indices are those in the chunk. */
export interface TaskSettlement extends Lease {
  /** Tasks that succeeded; ascending. */
  readonly done: readonly number[];
  /** What they returned, one encoded value each; `null` when all of them returned `undefined`. */
  readonly values: Payload | null;
  /** Tasks that are tried again. */
  readonly again: readonly TasksAgain[];
  /** Tasks that are out of attempts, or failed for good: dead letters. */
  readonly dead: readonly DeadTask[];
  /** What is to be told of them; dropped where the pool has nobody to tell. */
  readonly callbacks: TaskCallbacks | null;
}

export interface TasksAgain {
  /** Ascending. */
  readonly indices: readonly number[];
  /** The number of the next attempt. */
  readonly attempt: number;
  readonly delayMs: number;
}

export interface DeadTask {
  readonly index: number;
  readonly error: StoredError;
}

/** Items for the queue of callbacks, one for each of these tasks. */
export interface TaskCallbacks {
  readonly indices: readonly number[];
  readonly payload: Payload;
}

export interface PoolClaim extends Throttled {
  readonly queue: number;
  /** Most tasks to claim. 0 only asks when to look again. */
  readonly limit: number;
  /** Most bytes of them; `Infinity` for no cap. */
  readonly maxBytes: number;
  /** Most tasks that may run, in all processes, unless it was overridden. */
  readonly maxParallelism: number;
  /** Most tasks of one serial key that may run, in all processes; `Infinity` for no cap. */
  readonly concurrencyPerKey: number;
}

export interface PoolExchanged {
  /** Position by position. */
  readonly settled: readonly ("settled" | "lost")[];
  readonly claimed: readonly ClaimedSlice[];
  /**
   * Tasks that were cancelled while this incarnation ran them: each one that it still holds, every
   * time, and each that this exchange was to settle.
   */
  readonly canceled: readonly CanceledTasks[];
  /** As `Exchanged.nextAt`. Not: when another process ends tasks that a limit waits for. */
  readonly nextAt: number | null;
  /** True when something was claimable beyond a `limit` or `maxBytes` that was reached. */
  readonly more: boolean;
  /** As `Exchanged.suspectWaiting`. */
  readonly suspectWaiting: boolean;
  /** Storage time of the transaction. */
  readonly now: number;
}

/** Tasks of one chunk that a process has to run. `batch` is the id of the slice. */
export interface ClaimedSlice extends Lease {
  readonly queue: number;
  readonly chunk: number;
  /** Of its tasks in the chunk, ascending: with the chunk, the ids of the tasks. */
  readonly indices: readonly number[];
  /** Just these tasks, in order. */
  readonly payload: Payload;
  /** As `append` was given it (`core/lane.ts`). */
  readonly lane: string;
  /** The first attempt is 1. */
  readonly attempt: number;
  /** Crashes of the process while the task ran alone. */
  readonly crashes: number;
  /** True when they are suspects: nothing may run beside what was claimed together with them. */
  readonly alone: boolean;
}

export interface CanceledTasks extends Lease {
  readonly indices: readonly number[];
}

/**
 * `"canceled"`: it had not started, and will not. `"canceling"`: it runs, and its process is told.
 * `"finished"`: it was over (cancelled ones, too), as far as results are kept. `"unknown"`: no such
 * task, or nothing is known of it any more.
 */
export type CancelAnswer = "canceled" | "canceling" | "finished" | "unknown";

export type FoundTask =
  | { readonly status: "unknown" }
  /** `attempt`: the number of the next one. `dueAt`: when it may start, storage time. */
  | { readonly status: "pending"; readonly attempt: number; readonly dueAt: number }
  | { readonly status: "running"; readonly attempt: number }
  | FinishedTask;

export interface FinishedTask {
  readonly status: "finished";
  readonly kind: "success" | EndedTask["kind"];
  /** What it returned, one item long; `null` for `undefined`, and where it did not succeed. */
  readonly value: Payload | null;
  /** Why it failed. */
  readonly error: StoredError | null;
  /** Storage time. */
  readonly endedAt: number;
}

export interface PoolCounts {
  readonly paused: boolean;
  /** The stored override of the parallelism. */
  readonly parallelism: number | null;
  /** Tasks that may start. */
  readonly waiting: number;
  /** Tasks that may start later: at their time, or after the delay before another attempt. */
  readonly delayed: number;
  /** Of both, those that failed before. */
  readonly retrying: number;
  /** Of both, suspects. */
  readonly suspects: number;
  /** Tasks that are leased. */
  readonly running: number;
  /** Of those, cancelled ones. */
  readonly canceling: number;
  /** Serial keys, the empty one included, of which a task waits or runs. */
  readonly keys: number;
  /** Dead letters. */
  readonly dead: number;
  /** When the first of the delayed tasks may start, storage time; `null` when there is none. */
  readonly nextAt: number | null;
}
