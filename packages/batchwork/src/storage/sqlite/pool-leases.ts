/** Giving slices back, and what becomes of those whose process died. */
import { BatchworkError, type StoredError } from "../../core/errors.ts";
import { withoutIndices } from "../../core/indices.ts";
import { isDeadly, type Lease } from "../../core/lease.ts";
import { afterTaskCrash } from "../../core/task-crash.ts";
import { freeTasks, killTasks } from "./pool-ends.ts";
import { KeyChanges } from "./pool-keys.ts";
import { poolRow } from "./pool-rows.ts";
import { canceledIn } from "./pool-settle.ts";
import { heldIndices, packed, type SliceRow } from "./pool-slices.ts";
import type { Transaction } from "./transaction.ts";

interface HeldSlice extends SliceRow {
  readonly alone: number;
}

/** Gives slices back under their tokens. Those that others own by now are left alone. */
export function releaseSlices(tx: Transaction, leases: readonly Lease[]): void {
  const keys = new KeyChanges(tx);
  for (const { batch, token } of leases) {
    const row = tx.sql.slice.get(batch) as SliceRow | undefined;
    if (row?.state === "leased" && row.token === token) giveBack(tx, keys, row);
  }
  keys.save();
}

/** Releases what `incarnation` holds but does not know of; returns what it believes to hold. */
export function reconcileSlices(
  tx: Transaction,
  incarnation: number,
  known: readonly Lease[],
): Lease[] {
  const keys = new KeyChanges(tx);
  const tokens = new Map(known.map(({ batch, token }) => [batch, token]));
  const held = new Map<number, number>();
  for (const row of heldBy(tx, incarnation)) {
    if (tokens.get(row.id) === row.token) held.set(row.id, row.token);
    else giveBack(tx, keys, row);
  }
  keys.save();
  return known.filter(({ batch, token }) => held.get(batch) !== token);
}

/** What an incarnation that ends in good order still holds. */
export function retireSlices(tx: Transaction, incarnation: number): void {
  reconcileSlices(tx, incarnation, []);
}

/** The owner died. Returns how many slices wait again, and how many tasks are dead letters. */
export function crashSlices(
  tx: Transaction,
  incarnation: number,
  maxCrashes: number,
): { readonly released: number; readonly dead: number } {
  const rows = heldBy(tx, incarnation);
  const keys = new KeyChanges(tx);
  let running = 0;
  for (const { count } of rows) running += count;
  let dead = 0;
  let released = 0;
  for (const row of rows) {
    const left = dropCancelled(tx, row);
    keys.ended(row.queue, row.key, row.count);
    if (left.length === 0) continue;
    const record = afterTaskCrash(row, running, row.alone === 1);
    const { company, crashes } = record;
    if (isDeadly({ suspect: true, crashes }, maxCrashes)) {
      kill(tx, { ...row, crashes }, left);
      dead += left.length;
    } else {
      tx.sql.suspectSlice.run(company, crashes, incarnation, row.id);
      released++;
    }
  }
  keys.save();
  return { released, dead };
}

/** Takes back what was held against slices because of one incarnation. */
export function absolveSlices(tx: Transaction, incarnation: number): void {
  const keys = new KeyChanges(tx);
  for (const row of tx.sql.absolveSlices.all(incarnation) as SliceRow[]) {
    if (row.state === "ready") keys.readied(row.queue, row.key, row.priority);
  }
  keys.save();
}

function heldBy({ sql }: Transaction, incarnation: number): HeldSlice[] {
  return sql.slicesHeldBy.all(incarnation) as HeldSlice[];
}

function giveBack(tx: Transaction, keys: KeyChanges, row: SliceRow): void {
  const { queue, key, priority, count, company } = row;
  const left = dropCancelled(tx, row);
  if (left.length > 0) {
    tx.sql.giveSliceBack.run(row.id);
    if (company === null) keys.readied(queue, key, priority);
  }
  keys.ended(queue, key, count);
}

/** Cancelled tasks do not go on: they are over. Returns those that do, none of them maybe. */
function dropCancelled(tx: Transaction, row: SliceRow): readonly number[] {
  const { sql } = tx;
  const held = heldIndices(row);
  const gone = canceledIn(tx, row.id);
  if (gone.size === 0) return held;
  const left = withoutIndices(held, gone);
  sql.dropCancels.run(row.id);
  freeTasks(
    tx,
    row.chunk,
    held.filter((index) => gone.has(index)),
  );
  if (left.length === 0) {
    sql.deleteSlice.run(row.id);
    return left;
  }
  const { first, count, list } = packed(left);
  sql.shrinkSlice.run(first, count, list, row.id);
  return left;
}

function kill(tx: Transaction, slice: SliceRow, indices: readonly number[]): void {
  const pool = poolRow(tx.sql, slice.queue);
  killTasks(tx, { slice, pool, indices }, crashedError(slice.crashes));
  freeTasks(tx, slice.chunk, indices);
  tx.sql.deleteSlice.run(slice.id);
}

/** Without a stack: it would show this file, where nothing is wrong. */
function crashedError(crashes: number): StoredError {
  const message = `The process died ${crashes} times while it ran this task alone.`;
  const { name, code } = new BatchworkError("CRASHED", message);
  return { name, message, code };
}
