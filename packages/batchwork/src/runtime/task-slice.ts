/** A claimed slice: its tasks that run, and what became of those that ended. */
import { storedError } from "../core/errors.ts";
import { laneOf } from "../core/lane.ts";
import type { Lease } from "../core/lease.ts";
import { itemIdPrefix } from "../core/members.ts";
import { afterThrow, type StoredTask, type TaskVerdict } from "../core/task.ts";
import type { ClaimedSlice, DeadTask, TasksAgain, TaskSettlement } from "../storage/pools.ts";
import { tellLost } from "./pool-observation.ts";
import type { Surroundings } from "./surroundings.ts";
import { callbackOf } from "./task-callbacks.ts";
import { TaskRun, type RunOwner, type TaskEnd } from "./task-run.ts";
import type { TaskQueue } from "./task-queue.ts";

/**
 * How many different delays chance gives to tasks that fail together: each one is a slice of its
 * own when they are stored.
 */
const DELAYS = 8;

/** A task that ended and is not settled yet. */
export interface EndedRun {
  readonly run: TaskRun;
  readonly end: TaskEnd;
  readonly verdict: TaskVerdict;
  /** What it returned, encoded. */
  readonly value: unknown;
  readonly endedAt: number;
}

/** What a slice wants of its surroundings. */
export interface SliceEvents {
  /** A task has ended; `last` when no other one of the slice runs. */
  readonly ended: (slice: TaskSlice, last: boolean) => void;
}

export class TaskSlice implements RunOwner {
  readonly pool: TaskQueue;
  readonly around: Surroundings;
  readonly claimed: ClaimedSlice;
  readonly lease: Lease;
  readonly attempt: number;
  readonly serialKey: string | undefined;
  /** Bytes it takes up here. */
  readonly bytes: number;
  readonly #prefix: string;
  readonly #events: SliceEvents;
  readonly #running = new Map<number, TaskRun>();
  #ended: EndedRun[] = [];
  /** Tasks that are on their way to the storage. */
  #settling = 0;
  #lost = false;

  constructor(pool: TaskQueue, around: Surroundings, claimed: ClaimedSlice, events: SliceEvents) {
    this.pool = pool;
    this.around = around;
    this.claimed = claimed;
    this.lease = { batch: claimed.batch, token: claimed.token };
    this.attempt = claimed.attempt;
    const { serialKey } = laneOf(claimed.lane);
    this.serialKey = serialKey === "" ? undefined : serialKey;
    const { payload } = claimed;
    this.bytes = typeof payload === "string" ? payload.length : 0;
    this.#prefix = itemIdPrefix(claimed.chunk);
    this.#events = events;
  }

  /** Tasks whose handlers run. */
  get running(): number {
    return this.#running.size;
  }

  /** True when there is nothing to run and nothing to settle any more. */
  get over(): boolean {
    return this.#lost || (this.running === 0 && this.#ended.length === 0 && this.#settling === 0);
  }

  /** True while the storage has it as ours. */
  get held(): boolean {
    return !this.#lost;
  }

  readonly idOf = (index: number): string => this.#prefix + index;

  /** Calls the handlers of all its tasks. */
  start(): void {
    const { indices, payload } = this.claimed;
    let tasks: readonly StoredTask[] = [];
    let damaged: { readonly error: unknown } | undefined;
    try {
      tasks = this.pool.decode(payload) as StoredTask[];
    } catch (error) {
      damaged = { error };
    }
    const runs = indices.map((index, n) => {
      const run = new TaskRun(this, index, tasks[n] ?? { name: "" });
      this.#running.set(index, run);
      return run;
    });
    // All of them are there before the first one ends: the last one to end is known as such.
    for (const run of runs) {
      if (this.#lost) return;
      if (damaged === undefined) run.start();
      else this.ended(run, { kind: "threw", error: damaged.error, forGood: true });
    }
  }

  ended(run: TaskRun, end: TaskEnd): void {
    if (this.#lost || !this.#running.delete(run.index)) return;
    this.#ended.push(this.#judge(run, end));
    this.#events.ended(this, this.running === 0);
  }

  /** Tasks that somebody canceled. Their handlers are told; how they end does not count. */
  cancel(indices: readonly number[]): void {
    for (const index of indices) {
      const run = this.#running.get(index);
      if (run === undefined || run.canceled) continue;
      run.abort("CANCELED", `Task ${run.id} of "${this.pool.name}" was canceled.`);
    }
  }

  /** It is somebody else's, or was given back. Returns how many tasks ran. */
  lose(code: "LEASE_LOST" | "STOPPED", message: string): number {
    const { running } = this;
    this.#lost = true;
    if (code === "LEASE_LOST") tellLost(this, this.#running.keys());
    for (const run of this.#running.values()) run.abort(code, message);
    this.#running.clear();
    this.#ended = [];
    return running;
  }

  /** What ended since the last time, to be settled; `null` for nothing. */
  take(): { readonly settlement: TaskSettlement; readonly ended: readonly EndedRun[] } | null {
    if (this.#lost || this.#ended.length === 0) return null;
    const ended = this.#ended.toSorted((a, b) => a.run.index - b.run.index);
    this.#ended = [];
    this.#settling += ended.length;
    return { settlement: this.#settlementOf(ended), ended };
  }

  /** The exchange has failed, so that they are settled later. */
  giveBack(ended: readonly EndedRun[]): void {
    this.#settling -= ended.length;
    this.#ended = [...ended, ...this.#ended];
  }

  settled(ended: readonly EndedRun[]): void {
    this.#settling -= ended.length;
  }

  #judge(run: TaskRun, end: TaskEnd): EndedRun {
    const endedAt = this.around.clock.monotonicMs();
    const done = { run, end, verdict: { kind: "done" }, value: undefined, endedAt } as const;
    if (run.canceled) return done;
    if (end.kind === "returned") {
      if (end.value === undefined || !this.pool.keepsResults) return done;
      try {
        return { ...done, value: this.pool.encode(end.value) };
      } catch (error) {
        // It did what it does: another attempt would do it again and return no better.
        const failed = { kind: "threw", error, forGood: true } as const;
        return { ...done, end: failed, verdict: { kind: "dead", error: storedError(error) } };
      }
    }
    if (end.forGood) return { ...done, verdict: { kind: "dead", error: storedError(end.error) } };
    const chance = Math.floor(this.around.clock.random() * DELAYS) / DELAYS;
    return { ...done, verdict: afterThrow(end.error, this.attempt, run.retry, chance) };
  }

  #settlementOf(ended: readonly EndedRun[]): TaskSettlement {
    const done = ended.filter(({ verdict }) => verdict.kind === "done");
    const dead: DeadTask[] = [];
    const again = new Map<number, TasksAgain & { readonly indices: number[] }>();
    for (const { run, verdict } of ended) {
      if (verdict.kind === "dead") dead.push({ index: run.index, error: verdict.error });
      if (verdict.kind !== "again") continue;
      const { attempt, delayMs } = verdict;
      const together = again.get(delayMs);
      if (together === undefined) again.set(delayMs, { indices: [run.index], attempt, delayMs });
      else together.indices.push(run.index);
    }
    return {
      ...this.lease,
      done: done.map(({ run }) => run.index),
      values: this.#valuesOf(done),
      again: [...again.values()],
      dead,
      callbacks: this.#callbacksOf(ended),
    };
  }

  #valuesOf(done: readonly EndedRun[]): TaskSettlement["values"] {
    if (done.every(({ value }) => value === undefined)) return null;
    const { pool } = this;
    return pool.payloadOf(
      done.map(({ value }) => (value === undefined ? pool.encode(undefined) : value)),
    );
  }

  #callbacksOf(ended: readonly EndedRun[]): TaskSettlement["callbacks"] {
    const { callbacks } = this.pool;
    if (callbacks === undefined) return null;
    const told = ended.filter(({ run, verdict }) => verdict.kind !== "again" && !run.canceled);
    if (told.length === 0) return null;
    return {
      indices: told.map(({ run }) => run.index),
      payload: this.pool.payloadOf(told.map((one) => callbackOf(this.pool, one))),
    };
  }
}
