/** The ledger's account of leases that end otherwise than by settling, and of cancelled tasks. */
import type { Lease } from "../../packages/batchwork/src/core/lease.ts";
import type { CancelAnswer } from "../../packages/batchwork/src/storage/pools.ts";
import type { TaskLedger } from "./ledger.ts";
import type { PoolRecord, SliceRecord, TaskRecord } from "./records.ts";

/** Of the tasks that a dead process ran so many are tried together: one eighth. */
const SHARE = 8;

export function noteReleased(ledger: TaskLedger, leases: readonly Lease[]): void {
  for (const { batch, token } of leases) {
    const slice = ledger.slices.get(batch);
    if (slice?.token === token) giveBack(ledger, slice);
  }
}

export function noteRetired(ledger: TaskLedger, incarnation: number): void {
  ledger.incarnations.delete(incarnation);
  for (const slice of heldBy(ledger, incarnation)) giveBack(ledger, slice);
}

export function noteReconciled(
  ledger: TaskLedger,
  incarnation: number,
  known: readonly Lease[],
  lost: readonly Lease[],
): void {
  const tokens = new Map(known.map(({ batch, token }) => [batch, token]));
  for (const slice of heldBy(ledger, incarnation)) {
    if (tokens.get(slice.id) !== slice.token) giveBack(ledger, slice);
  }
  for (const { batch, token } of known) {
    const slice = ledger.slices.get(batch);
    const isOwn = slice?.token === token && slice.owner === incarnation;
    const isLost = lost.some((lease) => lease.batch === batch && lease.token === token);
    if (isOwn !== isLost) continue;
    const detail = `slice ${batch} of ${incarnation} is ${isOwn ? "its own" : "lost"}`;
    ledger.fail("the current token is heard", `${detail}, and it was told otherwise`);
  }
}

/** Processes are dead. Returns how many tasks died with them. */
export function noteReaped(
  ledger: TaskLedger,
  incarnations: readonly number[],
  maxCrashes: number,
): number {
  let dead = 0;
  for (const incarnation of incarnations) {
    ledger.incarnations.delete(incarnation);
    const held = heldBy(ledger, incarnation);
    const running = held.reduce((sum, { tasks }) => sum + tasks.size, 0);
    for (const slice of held) {
      for (const task of slice.tasks.values()) {
        const counts = slice.alone && running === 1;
        ledger.freed(task);
        if (task.end !== null) continue;
        if (counts) task.deaths++;
        if (counts && task.crashes + 1 >= maxCrashes) {
          ledger.ended(task, { kind: "failed", crashed: true });
          dead++;
        } else {
          task.suspect = true;
          task.company = Math.max(1, Math.floor(running / SHARE));
          task.suspectedOf = incarnation;
        }
      }
    }
  }
  return dead;
}

/** A process was only slow: what counted against its tasks may not count any more. */
export function noteAbsolved(ledger: TaskLedger, incarnation: number): void {
  for (const { live } of ledger.pools.values()) {
    for (const task of live) {
      if (task.slice === null && task.suspectedOf === incarnation) task.suspect = null;
    }
  }
}

export function noteCanceled(
  ledger: TaskLedger,
  pool: PoolRecord,
  ids: readonly string[],
  answers: readonly CancelAnswer[],
): void {
  for (const [n, id] of ids.entries()) {
    const task = ledger.tasks.get(id);
    const expected = task === undefined || task.pool !== pool ? "unknown" : cancel(ledger, task);
    if (answers[n] === expected) continue;
    const detail = `cancelling ${id} was answered with ${answers[n]}, not ${expected}`;
    ledger.fail("one of cancel and settle wins", detail);
  }
}

export function noteAllCanceled(
  ledger: TaskLedger,
  { live }: PoolRecord,
  { canceled, more }: { readonly canceled: number; readonly more: boolean },
): void {
  const tasks = [...live].filter(({ end }) => end === null);
  for (const task of tasks) cancel(ledger, task);
  if (canceled === tasks.length && !more) return;
  const detail = `of ${tasks.length} tasks ${canceled} were cancelled`;
  ledger.fail("one of cancel and settle wins", detail);
}

function cancel(ledger: TaskLedger, task: TaskRecord): CancelAnswer {
  if (task.end !== null) {
    return task.canceled || task.pool.plan.keepsResults ? "finished" : "unknown";
  }
  task.canceled = task.slice !== null;
  ledger.ended(task, { kind: "canceled" });
  return task.canceled ? "canceling" : "canceled";
}

function heldBy(ledger: TaskLedger, incarnation: number): SliceRecord[] {
  return [...ledger.slices.values()].filter(({ owner }) => owner === incarnation);
}

function giveBack(ledger: TaskLedger, slice: SliceRecord): void {
  for (const task of slice.tasks.values()) ledger.freed(task);
}
