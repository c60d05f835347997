/** Counts of a pool, and why what waits has not started yet. */
import type { PoolCounts } from "../storage/pools.ts";
import type { ProcessState } from "./explain.ts";
import { fullText, pendingState, type PendingState } from "./pending-state.ts";
import type { Runner } from "./runner.ts";
import type { TaskQueue } from "./task-queue.ts";

/** What `pool.stats()` resolves with. Counts cover all processes. */
export interface PoolStats extends Omit<PoolCounts, "nextAt" | "parallelism"> {
  /** Most tasks that may run at a time now. */
  readonly maxParallelism: number;
  /** Tasks that run in this process. */
  readonly runningHere: number;
  /** When the first of the delayed tasks may start; `null` when there is none. */
  readonly nextAt: Date | null;
}

/**
 * What has to happen before another task starts.
 *
 * - `"nothing"`: nothing waits.
 * - `"paused"`: `resume()`, or a `maxParallelism` above 0.
 * - `"delay"`: the time of a task comes: its `runAt`, or the delay before another attempt.
 * - `"start"`: this process was not started, or stops. Others may run it.
 * - `"maxParallelism"`: a task ends, in whichever process.
 * - `"maxConcurrencyPerWorker"`: a task of this process ends.
 * - `"heap"`, `"event loop"`: this process has a breath again.
 * - `"throttle"`: the throttle lets a task go again.
 * - `"a process alone"`: tasks whose process died run apart from all others first.
 * - `"serialKey"`: a task of each key that waits ends.
 * - `"next look"`: it is due; the next look at the storage starts it.
 */
export type PoolWaitsFor =
  | "nothing"
  | "paused"
  | "delay"
  | "start"
  | "maxParallelism"
  | "maxConcurrencyPerWorker"
  | "heap"
  | "event loop"
  | "throttle"
  | "a process alone"
  | "serialKey"
  | "next look";

/** What `pool.explain` resolves with. */
export interface PoolExplanation {
  readonly waitsFor: PoolWaitsFor;
  /** When the next task starts where only time holds it up; `null` otherwise. */
  readonly nextStartAt: Date | null;
  /** How much is pending of what may be; `null` without `maxPending`. */
  readonly pending: PendingState | null;
  /** The same as a sentence. For people: it may be worded otherwise in any version. */
  readonly text: string;
  readonly stats: PoolStats;
}

export async function statsOf(runner: Runner, pool: TaskQueue): Promise<PoolStats> {
  await runner.ready();
  const { nextAt, parallelism, ...counts } = await runner.storage.pools.counts(pool.id);
  return {
    ...counts,
    maxParallelism: parallelism ?? pool.options.maxParallelism,
    runningHere: pool.running,
    nextAt: nextAt === null ? null : new Date(nextAt),
  };
}

export async function explainPool(runner: Runner, pool: TaskQueue): Promise<PoolExplanation> {
  const stats = await statsOf(runner, pool);
  const { throttle } = pool.queue;
  const until =
    throttle === undefined ? null : await runner.storage.throttledUntil(pool.id, throttle);
  const [waitsFor, why, at] = reasonOf({ pool, stats, until, state: runner.processState() });
  const { waiting, delayed, running } = stats;
  const what = `${waiting} may start, ${delayed} later, ${running} running`;
  const pending = await pendingState(runner, pool.queue, pool);
  const text = (why === "" ? `${what}.` : `${what}: ${why}.`) + fullText(pending, "tasks");
  return { waitsFor, nextStartAt: at === null ? null : new Date(at), pending, text, stats };
}

interface Facts {
  readonly pool: TaskQueue;
  readonly stats: PoolStats;
  /** Until when the throttle lets nothing go. */
  readonly until: number | null;
  readonly state: ProcessState;
}

type Reason = readonly [PoolWaitsFor, string, number | null];

function reasonOf({ pool, stats, until, state }: Facts): Reason {
  const { waiting, delayed, paused, maxParallelism, running, suspects, nextAt } = stats;
  if (waiting + delayed === 0) return ["nothing", "", null];
  if (paused) return ["paused", "the pool is paused until resume() is called", null];
  if (maxParallelism === 0) return ["paused", "maxParallelism is 0", null];
  if (!state.started) {
    return ["start", "start() has not been called in this process, or it stops", null];
  }
  if (waiting === 0 && nextAt !== null) {
    return ["delay", `the next one may start at ${nextAt.toISOString()}`, nextAt.getTime()];
  }
  if (until !== null) {
    return ["throttle", `the throttle is full until ${new Date(until).toISOString()}`, until];
  }
  if (running >= maxParallelism) {
    return ["maxParallelism", `${running} run at a time, over all processes`, null];
  }
  const { maxConcurrencyPerWorker } = pool.options;
  if (pool.running >= maxConcurrencyPerWorker) {
    const why = `this process runs ${pool.running} at a time (maxConcurrencyPerWorker)`;
    return ["maxConcurrencyPerWorker", why, null];
  }
  const held = pool.held();
  if (held !== null) return [held, heldWhy(held), null];
  if (state.alone || suspects > 0) {
    const why = "tasks whose process died run first, apart from all others";
    return ["a process alone", why, null];
  }
  if (running > 0 && stats.keys <= running) {
    return ["serialKey", "tasks of the same serial key run", null];
  }
  return ["next look", "the next look at the storage starts them", state.now];
}

function heldWhy(held: "heap" | "event loop"): string {
  return held === "heap"
    ? "the heap of this process is fuller than maxHeapMB"
    : "the event loop of this process is later than maxLoopLagMs";
}
