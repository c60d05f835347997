/**
 * Who waits for how tasks of one pool end. What is settled in this process is told at once; the
 * rest is looked up together, ever less often while nothing comes.
 */
import { BatchworkError } from "../core/errors.ts";
import type { TaskResult } from "../core/task.ts";
import type { FinishedTask, FoundTask } from "../storage/pools.ts";
import { isPassing } from "./before-flush.ts";
import type { Runner } from "./runner.ts";
import type { EndedRun } from "./task-slice.ts";
import type { TaskQueue } from "./task-queue.ts";

interface Waiter {
  readonly resolve: (result: TaskResult) => void;
  readonly reject: (error: unknown) => void;
}

/** Tasks that one look asks for. */
const ASKED_MAX = 500;

export class TaskResults {
  readonly #pool: TaskQueue;
  readonly #runner: Runner;
  readonly #waiting = new Map<string, Set<Waiter>>();
  #looking = false;

  constructor(pool: TaskQueue, runner: Runner) {
    this.#pool = pool;
    this.#runner = runner;
  }

  /** Where tasks are, position by position. */
  async find(ids: readonly string[]): Promise<FoundTask[]> {
    await this.#runner.ready();
    return this.#runner.storage.pools.findTasks(this.#pool.id, ids);
  }

  /** How the task ended. Rejects with `RESULT_UNKNOWN`, `RESULT_TIMEOUT`, `STOPPED`. */
  async wait(id: string, timeoutMs: number | undefined, after: Timeout): Promise<TaskResult> {
    const { promise, resolve, reject } = Promise.withResolvers<TaskResult>();
    const waiter = { resolve, reject };
    const waiters = this.#waiting.get(id) ?? new Set();
    this.#waiting.set(id, waiters.add(waiter));
    const timer = timeoutMs === undefined ? undefined : after(timeoutMs, () => reject(late(id)));
    void this.#look();
    try {
      return await promise;
    } finally {
      timer?.cancel();
      waiters.delete(waiter);
      if (waiters.size === 0 && this.#waiting.get(id) === waiters) this.#waiting.delete(id);
    }
  }

  /** Tasks were settled here. */
  settled(ended: readonly EndedRun[]): void {
    if (this.#waiting.size === 0) return;
    for (const { run, end, verdict } of ended) {
      if (verdict.kind === "again" || run.canceled) continue;
      const waiters = this.#waiting.get(run.id);
      if (waiters === undefined) continue;
      const result: TaskResult =
        verdict.kind === "dead"
          ? { kind: "failed", error: verdict.error }
          : { kind: "success", returnValue: end.kind === "returned" ? end.value : undefined };
      this.#end(run.id, (waiter) => waiter.resolve(result));
    }
  }

  /** What a task that is over resulted in. */
  resultOf({ kind, value, error }: FinishedTask): TaskResult {
    if (kind === "canceled") return { kind };
    if (kind === "failed") {
      return { kind, error: error ?? { name: "Error", message: "No reason was kept." } };
    }
    return { kind, returnValue: value === null ? undefined : this.#pool.decode(value)[0] };
  }

  /** Looks for as long as anybody waits. */
  async #look(): Promise<void> {
    if (this.#looking) return;
    this.#looking = true;
    for (let asked = 0; this.#waiting.size > 0; asked++) {
      const ids = [...this.#waiting.keys()].slice(0, ASKED_MAX);
      // Registered before the question, so an answer that changes meanwhile is not missed.
      const news = this.#runner.news(asked);
      try {
        const found = await this.find(ids);
        for (const [n, one] of found.entries()) this.#found(ids[n] as string, one);
      } catch (error) {
        // The storage may do better the next time.
        if (!isPassing(error) && !this.#runner.stopped) {
          for (const id of ids) this.#end(id, (waiter) => waiter.reject(error));
        }
      }
      if (this.#runner.stopped) this.#stop();
      if (this.#waiting.size > 0) await news;
    }
    this.#looking = false;
  }

  #found(id: string, found: FoundTask): void {
    if (found.status === "finished") {
      const result = this.resultOf(found);
      this.#end(id, (waiter) => waiter.resolve(result));
    } else if (found.status === "unknown") {
      this.#end(id, (waiter) => waiter.reject(unknown(this.#pool.name, id)));
    } else {
      // Others come first the next time.
      const waiters = this.#waiting.get(id);
      if (waiters === undefined) return;
      this.#waiting.delete(id);
      this.#waiting.set(id, waiters);
    }
  }

  #stop(): void {
    for (const id of this.#waiting.keys()) {
      this.#end(id, (waiter) => waiter.reject(stopped(id)));
    }
  }

  #end(id: string, tell: (waiter: Waiter) => void): void {
    const waiters = this.#waiting.get(id);
    if (waiters === undefined) return;
    this.#waiting.delete(id);
    for (const waiter of waiters) tell(waiter);
  }
}

/** Sets a timer. */
export type Timeout = (ms: number, fn: () => void) => { cancel(): void };

function late(id: string): BatchworkError {
  const message = `Task ${id} has not ended in time. It goes on: ask again later.`;
  return new BatchworkError("RESULT_TIMEOUT", message, { field: "timeoutMs", value: id });
}

function unknown(pool: string, id: string): BatchworkError {
  const message =
    `Nothing is known of a task ${id} of "${pool}": there is none, or its result is kept no ` +
    "longer (`ttl`).";
  return new BatchworkError("RESULT_UNKNOWN", message, { field: "id", value: id });
}

function stopped(id: string): BatchworkError {
  return new BatchworkError("STOPPED", `The engine stopped before task ${id} had ended.`);
}
