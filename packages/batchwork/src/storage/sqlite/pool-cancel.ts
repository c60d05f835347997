/** Cancelling tasks: those that wait are over at once, those that run when their owner settles. */
import { knownPlaceOf } from "../../core/members.ts";
import type { CancelAnswer } from "../pools.ts";
import { cancelTasks, freeTasks } from "./pool-ends.ts";
import { findInChunk } from "./pool-find.ts";
import { sliceAllChunks } from "./pool-intake.ts";
import { poolRow, type PoolRow } from "./pool-rows.ts";
import { canceledIn } from "./pool-settle.ts";
import { heldIndices, packed, type SliceRow } from "./pool-slices.ts";
import { queueRow } from "./queues.ts";
import type { Transaction } from "./transaction.ts";

export function cancel(tx: Transaction, queue: number, ids: readonly string[]): CancelAnswer[] {
  const pool = poolRow(tx.sql, queue);
  sliceAllChunks(tx, queueRow(tx.sql, queue));
  const chunks = new Map<number, Map<number, CancelAnswer>>();
  for (const id of ids) {
    const place = knownPlaceOf(id);
    if (place === null) continue;
    const answers = chunks.get(place.chunk) ?? new Map<number, CancelAnswer>();
    chunks.set(place.chunk, answers.set(place.index, "unknown"));
  }
  for (const [chunk, answers] of chunks) cancelInChunk(tx, pool, chunk, answers);
  const told = new Set<string>();
  return ids.map((id) => {
    const place = knownPlaceOf(id);
    const answer = place === null ? null : chunks.get(place.chunk)?.get(place.index);
    if (answer === null || answer === undefined) return "unknown";
    // Named twice: the second time it was over.
    if (told.has(id) && answer !== "unknown") return "finished";
    told.add(id);
    return answer;
  });
}

export function cancelAll(
  tx: Transaction,
  queue: number,
  slices: number,
): { canceled: number; more: boolean } {
  const pool = poolRow(tx.sql, queue);
  sliceAllChunks(tx, queueRow(tx.sql, queue));
  const rows = tx.sql.slicesToCancel.all(queue, slices) as SliceRow[];
  let canceled = 0;
  for (const row of rows) canceled += cancelInSlice(tx, pool, row, heldIndices(row)).length;
  return { canceled, more: rows.length === slices };
}

/** Fills in what became of each task of one chunk. */
function cancelInChunk(
  tx: Transaction,
  pool: PoolRow,
  chunk: number,
  answers: Map<number, CancelAnswer>,
): void {
  const over = findInChunk(tx, pool.queue, chunk);
  for (const index of answers.keys()) {
    if (over.result(index) !== null) answers.set(index, "finished");
  }
  for (const row of over.slices) {
    const wanted = heldIndices(row).filter((index) => answers.get(index) === "unknown");
    const canceled = cancelInSlice(tx, pool, row, wanted);
    const answer = row.state === "leased" ? "canceling" : "canceled";
    // Cancelled before, where no result is kept.
    for (const index of wanted) answers.set(index, "finished");
    for (const index of canceled) answers.set(index, answer);
  }
}

/** Returns the tasks that were not cancelled before. */
function cancelInSlice(
  tx: Transaction,
  pool: PoolRow,
  slice: SliceRow,
  wanted: readonly number[],
): readonly number[] {
  if (wanted.length === 0) return wanted;
  const { sql } = tx;
  if (slice.state === "leased") {
    const before = canceledIn(tx, slice.id);
    const indices = wanted.filter((index) => !before.has(index));
    for (const index of indices) sql.cancelTask.run(slice.id, index);
    cancelTasks(tx, { slice, pool, indices });
    return indices;
  }
  cancelTasks(tx, { slice, pool, indices: wanted });
  const gone = new Set(wanted);
  const left = heldIndices(slice).filter((index) => !gone.has(index));
  if (left.length === 0) sql.deleteSlice.run(slice.id);
  else {
    const { first, count, list } = packed(left);
    sql.shrinkSlice.run(first, count, list, slice.id);
  }
  freeTasks(tx, slice.chunk, wanted);
  return wanted;
}
