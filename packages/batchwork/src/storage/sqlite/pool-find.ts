/** Where tasks are, and how they ended. */
import { pickText } from "../../core/codec.ts";
import type { StoredError } from "../../core/errors.ts";
import { knownPlaceOf } from "../../core/members.ts";
import type { FinishedTask, FoundTask, PoolCounts } from "../pools.ts";
import { poolRow } from "./pool-rows.ts";
import { heldIndices, type PackedRow, type SliceRow } from "./pool-slices.ts";
import { queueRow } from "./queues.ts";
import type { Statements } from "./prepared.ts";
import type { Transaction } from "./transaction.ts";

/** A row of `batchwork_task_results`. */
interface ResultRow extends PackedRow {
  readonly kind: FinishedTask["kind"];
  readonly data: string | null;
  readonly error: string | null;
  readonly ended_at: number;
}

/** One state of the database, at a time. */
interface View {
  readonly sql: Statements;
  readonly now: number;
}

/** What is known of the tasks of one chunk. */
export interface ChunkView {
  readonly slices: readonly SliceRow[];
  readonly slice: (index: number) => SliceRow | null;
  readonly result: (index: number) => FinishedTask | null;
}

export function findTasks(tx: View, queue: number, ids: readonly string[]): FoundTask[] {
  const { sql } = tx;
  poolRow(sql, queue);
  const { counted } = queueRow(sql, queue);
  const views = new Map<number, ChunkView>();
  return ids.map((id) => {
    const place = knownPlaceOf(id);
    if (place === null) return { status: "unknown" };
    const { chunk, index } = place;
    const view = views.get(chunk) ?? findInChunk(tx, queue, chunk);
    views.set(chunk, view);
    const slice = view.slice(index);
    const result = view.result(index);
    if (result !== null) return result;
    if (slice === null) return findFresh(tx, { queue, counted }, chunk, index);
    const { state, attempt, run_at: dueAt } = slice;
    return state === "leased"
      ? { status: "running", attempt }
      : { status: "pending", attempt, dueAt };
  });
}

export function findInChunk({ sql, now }: View, queue: number, chunk: number): ChunkView {
  const slices = sql.slicesOfChunk.all(queue, chunk) as SliceRow[];
  const results = sql.taskResults.all(chunk, queue, now) as ResultRow[];
  const sliceAt = placed(slices);
  const resultAt = placed(results);
  return {
    slices,
    slice: (index) => sliceAt(index)?.row ?? null,
    result: (index) => {
      const found = resultAt(index);
      return found === null ? null : finished(found.row, found.n);
    },
  };
}

/** Finds the row that holds an index, and as which of its tasks. */
function placed<R extends PackedRow>(
  rows: readonly R[],
): (index: number) => { readonly row: R; readonly n: number } | null {
  const lists = new Map<R, readonly number[]>();
  return (index) => {
    for (const row of rows) {
      if (index < row.first) continue;
      const { first, count, list } = row;
      if (list === null) {
        if (index < first + count) return { row, n: index - first };
        continue;
      }
      const indices = lists.get(row) ?? heldIndices(row);
      lists.set(row, indices);
      const n = indices.indexOf(index);
      if (n >= 0) return { row, n };
    }
    return null;
  };
}

function finished(row: ResultRow, n: number): FinishedTask {
  const { kind, data, error, count, ended_at: endedAt } = row;
  return {
    status: "finished",
    kind,
    value: data === null ? null : pickText(data, { from: n, count: 1 }, count),
    error: error === null ? null : (JSON.parse(error) as StoredError),
    endedAt,
  };
}

/** Of a chunk that no claim has seen yet. */
function findFresh(
  { sql }: View,
  { queue, counted }: { readonly queue: number; readonly counted: number },
  chunk: number,
  index: number,
): FoundTask {
  const row = sql.freshChunk.get(chunk, counted, queue) as FreshRow | undefined;
  if (row === undefined || index >= row.count) return { status: "unknown" };
  return { status: "pending", attempt: 1, dueAt: row.due_at };
}

interface FreshRow {
  readonly count: number;
  readonly due_at: number;
}

type Totals = Pick<
  PoolCounts,
  "waiting" | "delayed" | "retrying" | "suspects" | "running" | "keys"
>;

/** What was appended is sliced before. */
export function countTasks({ sql }: Transaction, queue: number): PoolCounts {
  const { paused } = queueRow(sql, queue);
  const { parallelism } = poolRow(sql, queue);
  const totals = sql.taskTotals.get(queue) as Totals;
  const { n: canceling } = sql.cancelsOfQueue.get(queue) as { readonly n: number };
  const { n: dead } = sql.deadCount.get({ queue, group: null }) as { readonly n: number };
  const { at: nextAt } = sql.nextDelayed.get(queue) as { readonly at: number | null };
  return { ...totals, paused: paused === 1, parallelism, canceling, dead, nextAt };
}
