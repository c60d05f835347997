/** Why nothing is handed over yet, and when it will be. */
import type { QueueCounts } from "../storage/storage.ts";
import { historyOf, type FinishedBatch } from "./history.ts";
import { fullText, pendingState, type PendingState } from "./pending-state.ts";
import type { Queue } from "./queue.ts";
import type { Runner } from "./runner.ts";
import type { Surroundings } from "./surroundings.ts";

/**
 * What has to happen before something more is handed over.
 *
 * - `"nothing"`: nothing waits.
 * - `"size or time"`: no group is full yet (`maxSize`, `maxBytes`) and none has waited `maxWaitMs`.
 * - `"paused"`: `resume()`.
 * - `"throttle"`: the throttle lets a batch go again.
 * - `"backoff"`: the delay before the next attempt of a batch ends.
 * - `"start"`: this process was not started, or stops. Others may hand it over.
 * - `"concurrency"`: a handler of this process ends.
 * - `"groupConcurrency"`: a batch of each group that waits ends, in whichever process.
 * - `"a process alone"`: a batch whose process died runs by itself, with nothing beside it.
 * - `"next look"`: it is due; the next look at the storage hands it over.
 */
export type WaitsFor =
  | "nothing"
  | "size or time"
  | "paused"
  | "throttle"
  | "backoff"
  | "start"
  | "concurrency"
  | "groupConcurrency"
  | "a process alone"
  | "next look";

/** What `batch.explain` resolves with. */
export interface Explanation {
  /** Items accepted and not yet handed to a handler. */
  readonly waiting: number;
  /** Groups with such items. */
  readonly groups: number;
  readonly paused: boolean;
  readonly waitsFor: WaitsFor;
  /**
   * When something that waits is handed over if nothing more is added; `null` when nothing waits,
   * or when that depends on something other than time.
   */
  readonly nextFlushAt: Date | null;
  /** How much is pending of what may be; `null` without `maxPending`. */
  readonly pending: PendingState | null;
  /** The same as a sentence. For people: it may be worded otherwise in any version. */
  readonly text: string;
  /** The last five batches that are over, newest first. */
  readonly lastFlushes: readonly FinishedBatch[];
}

/** What a process knows of itself. */
export interface ProcessState {
  readonly started: boolean;
  /** True while a batch runs, or is to run, by itself. */
  readonly alone: boolean;
  readonly now: number;
}

const LAST_FLUSHES = 5;

/** Groups at their limit that are asked for what waits in them; with more it stays open. */
const LIMITED_GROUPS_MAX = 20;

export function processState(started: boolean, { gate, clock }: Surroundings): ProcessState {
  return { started, alone: gate.shut, now: clock.wallMs() };
}

/** Asks the storage, and this process. */
export async function explain(
  runner: Runner,
  queue: Queue,
  group: string | undefined,
): Promise<Explanation> {
  await runner.ready();
  const { storage } = runner;
  const { id, throttle } = queue;
  const counts = await storage.counts(id, group ?? null);
  const until = throttle === undefined ? null : await storage.throttledUntil(id, throttle);
  const atLimit = await areAtLimit(runner, queue, group, counts);
  const within = group === undefined ? {} : { group };
  const lastFlushes = await historyOf(runner, queue, { ...within, limit: LAST_FLUSHES });
  const { waiting, groups, paused } = counts;
  const [waitsFor, why, at] = reasonOf({
    queue,
    counts,
    until,
    atLimit,
    state: runner.processState(),
  });
  const what = whatWaits(queue, counts, group);
  const pending = await pendingState(runner, queue, queue);
  const text = (why === "" ? `${what}.` : `${what}: ${why}.`) + fullText(pending, "items");
  const nextFlushAt = at === null ? null : new Date(at);
  return { waiting, groups, paused, waitsFor, nextFlushAt, pending, text, lastFlushes };
}

interface Facts {
  readonly queue: Queue;
  readonly counts: QueueCounts;
  /** Until when the throttle hands nothing over. */
  readonly until: number | null;
  /** True when every group with waiting items has as many batches running as it may. */
  readonly atLimit: boolean;
  readonly state: ProcessState;
}

/** What it waits for, why in words, and the time at which that ends where it is known. */
type Reason = readonly [WaitsFor, string, number | null];

function reasonOf(facts: Facts): Reason {
  const { queue, counts, until, state } = facts;
  const { waiting, retrying, dueAt } = counts;
  if (waiting === 0 && retrying === 0) return ["nothing", "", null];
  if (counts.paused) return ["paused", "the batch is paused until resume() is called", null];
  if (!state.started) {
    return ["start", "start() has not been called in this process, or it stops", null];
  }
  const due = dueAt !== null && (dueAt <= state.now || isFull(queue, counts));
  if (until !== null && (dueAt === null || due || dueAt <= until)) {
    const { max, durationMs } = queue.throttle as NonNullable<Queue["throttle"]>;
    const limit = `the throttle allows ${counted(max, "batch")} in ${durationMs} ms`;
    return ["throttle", `${limit}, the next one at ${time(until)}`, until];
  }
  if (due || dueAt === null) {
    const reason = whatHolds(facts);
    if (reason !== null) return reason;
  }
  if (dueAt === null) return ["backoff", "the delay before the next attempt is not over", null];
  if (due) return ["next look", "the next look at the storage hands them over", state.now];
  return ["size or time", `${sizes(queue)}, which is at ${time(dueAt)}`, dueAt];
}

/** What holds up even what is due. */
function whatHolds({ queue, atLimit, state }: Facts): Reason | null {
  if (state.alone) {
    const why = "a batch whose process died runs by itself first, with nothing beside it";
    return ["a process alone", why, null];
  }
  if (queue.running >= queue.concurrency) {
    const why = `this process runs ${counted(queue.running, "batch")}, as many as it may`;
    return ["concurrency", `${why} (concurrency)`, null];
  }
  if (!atLimit) return null;
  const running = counted(queue.groupConcurrency, "batch");
  return ["groupConcurrency", `a group may run ${running} at a time (groupConcurrency)`, null];
}

/** True when, however the items are spread over the groups, one of these is full. */
function isFull(queue: Queue, { waiting, groups }: QueueCounts): boolean {
  return waiting > groups * (queue.size.maxSize - 1);
}

async function areAtLimit(
  runner: Runner,
  queue: Queue,
  group: string | undefined,
  { waiting }: QueueCounts,
): Promise<boolean> {
  if (queue.groupConcurrency === Number.POSITIVE_INFINITY || waiting === 0) return false;
  const { storage } = runner;
  const running = new Map<string, number>();
  for (const batch of await storage.running(queue.id)) {
    running.set(batch.group, (running.get(batch.group) ?? 0) + 1);
  }
  const limited = [...running].filter(([, count]) => count >= queue.groupConcurrency);
  if (group !== undefined) return limited.some(([name]) => name === group);
  let held = 0;
  for (const [name] of limited.slice(0, LIMITED_GROUPS_MAX)) {
    held += (await storage.counts(queue.id, name)).waiting;
  }
  return held >= waiting;
}

function whatWaits(queue: Queue, counts: QueueCounts, group: string | undefined): string {
  const { waiting, groups, retrying, leased } = counts;
  const where = group === undefined ? "" : ` in group ${JSON.stringify(group)}`;
  if (waiting === 0 && retrying === 0) {
    return leased === 0 ? `Nothing waits${where}` : `Nothing waits${where}, ${running(leased)}`;
  }
  const parts: string[] = [];
  if (waiting > 0) {
    const spread = queue.grouped && where === "" ? ` in ${counted(groups, "group")}` : "";
    parts.push(`${counted(waiting, "item")}${spread}`);
  }
  if (retrying > 0) parts.push(`${counted(retrying, "batch")} for another attempt`);
  const verb = waiting + retrying === 1 ? "waits" : "wait";
  return `${parts.join(" and ")} ${verb}${where}`;
}

function running(count: number): string {
  return `${counted(count, "batch")} ${count === 1 ? "runs" : "run"}`;
}

function sizes({ size, maxBytes, maxWaitMs }: Queue): string {
  const bytes = maxBytes === Number.POSITIVE_INFINITY ? "" : ` or ${maxBytes} bytes`;
  const full = `a batch goes with ${counted(size.maxSize, "item")}${bytes}`;
  return `${full}, or when the oldest item has waited ${maxWaitMs} ms`;
}

function counted(count: number, noun: string): string {
  if (count === 1) return `1 ${noun}`;
  return `${count} ${noun}${noun.endsWith("ch") ? "es" : "s"}`;
}

function time(at: number): string {
  return new Date(at).toISOString();
}
