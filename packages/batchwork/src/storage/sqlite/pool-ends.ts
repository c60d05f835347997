/** What is kept, told and freed when tasks end. */
import { joinItems, splitItems } from "../../core/codec.ts";
import { endedText } from "../../core/ended-task.ts";
import type { StoredError } from "../../core/errors.ts";
import { CHUNK_BYTES_MAX } from "../../core/limits.ts";
import { compact, itemId } from "../../core/members.ts";
import { callbackChunks, pieces } from "../callback-chunks.ts";
import { freeMembers } from "./chunks.ts";
import { append } from "./intake.ts";
import { endKeys } from "./keys.ts";
import { packed, TaskTexts, type SliceRow } from "./pool-slices.ts";
import type { PoolRow } from "./pool-rows.ts";
import { queueRow } from "./queues.ts";
import type { Transaction } from "./transaction.ts";

/** How tasks of one slice ended. */
export interface Ending {
  readonly slice: SliceRow;
  readonly pool: PoolRow;
  readonly indices: readonly number[];
}

/** Tasks succeeded. `values`: one text each, joined; `null` for nothing. */
export function keepSuccess(tx: Transaction, ending: Ending, values: string | null): void {
  if (values === null || values.length <= CHUNK_BYTES_MAX) {
    keep(tx, ending, { kind: "success", data: values, error: null });
    return;
  }
  const texts = splitItems(values);
  for (const [from, end] of pieces(texts)) {
    const data = joinItems(texts.slice(from, end));
    const indices = ending.indices.slice(from, end);
    keep(tx, { ...ending, indices }, { kind: "success", data, error: null });
  }
}

/** Tasks are cancelled: their callbacks are told what they were. */
export function cancelTasks(tx: Transaction, ending: Ending): void {
  keep(tx, ending, CANCELED);
  tellEnded(tx, ending, "canceled", null);
  endTaskKeys(tx, ending);
}

/** Tasks killed their process once too often. */
export function killTasks(tx: Transaction, ending: Ending, error: StoredError): void {
  const { slice, indices } = ending;
  buryTasks(
    tx,
    ending,
    indices.map((index) => ({ index, error })),
    slice.attempt - 1,
  );
  tellEnded(tx, ending, "failed", error);
}

/** Makes dead letters of tasks, and keeps what they failed with. */
export function buryTasks(
  tx: Transaction,
  { slice, pool }: Ending,
  dead: readonly { readonly index: number; readonly error: StoredError }[],
  attempts: number,
): void {
  if (dead.length === 0) return;
  const { sql, now } = tx;
  const texts = new TaskTexts(sql, slice.chunk);
  const noticeAt = queueRow(sql, slice.queue).notify === 1 ? 0 : null;
  for (const { index, error } of dead) {
    const text = JSON.stringify(error);
    sql.insertDead.run(
      slice.queue,
      texts.group,
      texts.each([index])[0] as string,
      itemId(slice.chunk, index),
      text,
      attempts,
      slice.crashes,
      slice.id,
      slice.id,
      now,
      noticeAt,
    );
    keep(tx, { slice, pool, indices: [index] }, { kind: "failed", data: null, error: text });
  }
}

/** Appends items for the queue that is told, in chunks of the usual size. */
export function tell(tx: Transaction, pool: PoolRow, payload: string): void {
  const { callbacks: queue } = pool;
  if (queue === null) return;
  append(tx, callbackChunks(queue, payload));
}

/** Ended tasks hold their idempotency keys for a while only. Dead letters keep them. */
export function endTaskKeys(tx: Transaction, { slice, indices }: Ending): void {
  if (slice.keyed === 0 || indices.length === 0) return;
  endKeys(tx, [{ chunk: slice.chunk, items: compact(indices), whole: false }]);
}

/** Gives the space of tasks back. */
export function freeTasks({ sql }: Transaction, chunk: number, indices: readonly number[]): void {
  if (indices.length === 0) return;
  freeMembers(sql, [{ chunk, items: compact(indices), whole: false }]);
}

function tellEnded(
  tx: Transaction,
  { slice, pool, indices }: Ending,
  kind: "failed" | "canceled",
  error: StoredError | null,
): void {
  if (pool.callbacks === null || indices.length === 0) return;
  const tasks = new TaskTexts(tx.sql, slice.chunk).each(indices);
  const texts = tasks.map((task, n) =>
    endedText({ ended: itemId(slice.chunk, indices[n] as number), kind, error, task }),
  );
  tell(tx, pool, joinItems(texts));
}

/** What is kept of an ending. */
interface Kept {
  readonly kind: "success" | "failed" | "canceled";
  readonly data: string | null;
  readonly error: string | null;
}

const CANCELED: Kept = { kind: "canceled", data: null, error: null };

function keep(
  { sql, now }: Transaction,
  { slice, pool, indices }: Ending,
  { kind, data, error }: Kept,
): void {
  const { result_ttl_ms: ttl } = pool;
  if (ttl === 0 || indices.length === 0) return;
  const { queue, chunk } = slice;
  const { first, count, list } = packed(indices);
  const expiresAt = ttl === null ? null : now + ttl;
  sql.keepTaskResults.run(queue, chunk, first, count, list, kind, data, error, now, expiresAt);
}
