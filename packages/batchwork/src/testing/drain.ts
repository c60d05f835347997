/** Lets a manual clock run until batches have nothing left to do. */
import type { BatchStatus } from "../runtime/batch-status.ts";
import type { ManualClock } from "./manual-clock.ts";

/** What {@link drain} waits for: a `Batch`. */
export interface Drainable {
  readonly name: string;
  status(): Promise<BatchStatus>;
}

/** All batches of an engine: a `Batchwork`. */
export interface DrainableEngine {
  batches(): readonly Drainable[];
}

/** Options of {@link drain}. */
export interface DrainOptions {
  /** Most time that may pass on the clock, ms. Default an hour. */
  readonly withinMs?: number;
}

const WITHIN_MS = 3_600_000;
/** Steps grow with the time that has passed, so that little of it passes in vain. */
const STEP_SHARE = 0.1;
const STEP_MS_MAX = 1000;

/**
 * Moves the clock until no batch has an item left that waits, is tried again or is in a handler:
 * each succeeded or is a dead letter. What handlers add to these batches meanwhile counts too. The
 * engine must be started and have this clock, on a storage inside the process (memory, SQLite).
 * Overshoots by at most a tenth. Unlike `batch.drain()`, nothing is made due early or paused.
 *
 * @returns how much time passed on the clock, ms
 * @throws an error that says what is stuck, when a paused batch holds items or `withinMs` is over
 */
export async function drain(
  clock: ManualClock,
  what: DrainableEngine | Drainable | readonly Drainable[],
  options: DrainOptions = {},
): Promise<number> {
  const all = batchesOf(what);
  const withinMs = options.withinMs ?? WITHIN_MS;
  const since = clock.monotonicMs();
  for (;;) {
    await clock.settle();
    const busy = (await statuses(clock, all)).filter(isBusy);
    const passed = clock.monotonicMs() - since;
    if (busy.length === 0) return passed;
    const hopeless = busy.every(({ paused, leased }) => paused && leased === 0);
    if (hopeless || passed >= withinMs) throw new Error(stuck(busy, passed, clock.wallMs()));
    const step = Math.max(1, Math.min(passed * STEP_SHARE, STEP_MS_MAX));
    await clock.advance(Math.min(step, withinMs - passed));
  }
}

function batchesOf(what: DrainableEngine | Drainable | readonly Drainable[]): readonly Drainable[] {
  if ("batches" in what) return what.batches();
  return "status" in what ? [what] : what;
}

async function statuses(clock: ManualClock, all: readonly Drainable[]): Promise<BatchStatus[]> {
  return clock.run(Promise.all(all.map(async (batch) => batch.status())));
}

function isBusy({ waiting, retrying, leased }: BatchStatus): boolean {
  return waiting + retrying + leased > 0;
}

function stuck(busy: readonly BatchStatus[], passedMs: number, now: number): string {
  const lines = busy.map((status) => `  ${status.name}: ${situationOf(status, now)}`);
  return [
    `drain: after ${Math.round(passedMs)} ms of the clock's time these are not done:`,
    ...lines,
    "Is the engine started, on this clock? Does every handler come to an end?",
  ].join("\n");
}

function situationOf(status: BatchStatus, now: number): string {
  const { paused, waiting, retrying, dueAt, running } = status;
  const parts: string[] = [];
  if (paused) parts.push("paused");
  if (waiting > 0) {
    const due = dueAt === null ? "" : `, the oldest ${whenDue(dueAt.getTime() - now)}`;
    parts.push(`${waiting} items wait${due}`);
  }
  if (retrying > 0) parts.push(`${retrying} batches wait for another attempt`);
  for (const { batchId, size, attempt, claimedAt } of running) {
    const since = Math.round(now - claimedAt.getTime());
    parts.push(`batch ${batchId} (${size} items, attempt ${attempt}) has run for ${since} ms`);
  }
  return parts.join("; ");
}

function whenDue(inMs: number): string {
  return inMs > 0 ? `due in ${Math.round(inMs)} ms` : `due for ${Math.round(-inMs)} ms`;
}
