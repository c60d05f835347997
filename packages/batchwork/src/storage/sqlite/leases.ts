/** Incarnations, and giving back what they hold. */
import { afterRevival, type Lease } from "../../core/lease.ts";
import type { BatchState } from "../../core/transitions.ts";
import { flag, stateAfter, type BatchRow } from "./batches.ts";
import { GroupChanges } from "./group-changes.ts";
import { absolveSlices, retireSlices } from "./pool-leases.ts";
import type { Transaction } from "./transaction.ts";

export function enroll({ sql, now }: Transaction, leaseMs: number): number {
  return Number(sql.enroll.run(now + leaseMs).lastInsertRowid);
}

export function heartbeat(
  { sql, now }: Transaction,
  incarnation: number,
  leaseMs: number,
): boolean {
  return Number(sql.heartbeat.run(now + leaseMs, incarnation).changes) > 0;
}

export function progress(
  { sql }: Transaction,
  { batch, token }: Lease,
  percent: number,
  note: string,
): boolean {
  return Number(sql.progress.run(percent, note, batch, token).changes) > 0;
}

/** What a release has to know of a batch. */
interface Held {
  readonly id: number;
  readonly grp: number;
  readonly state: BatchState;
  readonly token: number;
  readonly suspect: number;
}

/** Gives batches back under their tokens. Those that others own by now are left alone. */
export function release(tx: Transaction, leases: readonly Lease[]): void {
  const groups = new GroupChanges(tx);
  for (const { batch, token } of leases) {
    const row = tx.sql.batch.get(batch) as BatchRow | undefined;
    if (row?.state === "leased" && row.token === token) giveBack(tx, groups, row);
  }
  groups.save();
}

/**
 * Releases what `incarnation` holds but does not know of; returns what it only believes to hold.
 */
export function reconcile(tx: Transaction, incarnation: number, known: readonly Lease[]): Lease[] {
  const groups = new GroupChanges(tx);
  const tokens = new Map(known.map(({ batch, token }) => [batch, token]));
  const held = new Map<number, number>();
  for (const row of heldBy(tx, incarnation)) {
    if (tokens.get(row.id) === row.token) held.set(row.id, row.token);
    else giveBack(tx, groups, row);
  }
  groups.save();
  return known.filter(({ batch, token }) => held.get(batch) !== token);
}

/** Ends an incarnation in good order. */
export function retire(tx: Transaction, incarnation: number): void {
  const groups = new GroupChanges(tx);
  for (const row of heldBy(tx, incarnation)) giveBack(tx, groups, row);
  groups.save();
  retireSlices(tx, incarnation);
  tx.sql.retireLoops.run(incarnation);
  tx.sql.retire.run(incarnation);
}

export function heldBy({ sql }: Transaction, incarnation: number): BatchRow[] {
  return sql.heldBy.all(incarnation) as BatchRow[];
}

/** What a crash has left in a batch that still waits. */
interface SuspectRow {
  readonly id: number;
  readonly grp: number;
  readonly run_at: number;
  readonly crashes: number;
  readonly suspected_alone: number;
}

/** Takes back what was held against batches because of one incarnation. */
export function absolve(tx: Transaction, incarnation: number): void {
  const groups = new GroupChanges(tx);
  for (const row of tx.sql.suspectedBy.all(incarnation) as SuspectRow[]) {
    const record = { suspect: true, crashes: row.crashes };
    const { suspect, crashes } = afterRevival(record, row.suspected_alone === 1);
    tx.sql.absolveBatch.run(flag(suspect), crashes, row.id);
    if (!suspect) groups.readied(row.grp, row.run_at);
  }
  groups.save();
  absolveSlices(tx, incarnation);
}

function giveBack({ sql, now }: Transaction, groups: GroupChanges, row: Held): void {
  sql.releaseBatch.run(stateAfter(row.state, "release"), now, row.id);
  groups.ended(row.grp);
  if (row.suspect === 0) groups.readied(row.grp, now);
}
