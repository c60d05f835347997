/** How much of a queue is pending, where it has a limit. */
import {
  fitsInto,
  NOTHING,
  plus,
  QueueFullError,
  roomWithin,
  type Amount,
  type PendingLimit,
} from "../../core/pending.ts";
import type { NewChunk } from "../storage.ts";
import { prepare, type SqliteHandle } from "./handle.ts";
import { PENDING_TRIGGERS, PENDING_TRIGGERS_GONE } from "./pending-statements.ts";
import type { IntakeStatements, Statements } from "./prepared.ts";
import { queueRow } from "./queues.ts";

/** How much of a queue is pending, whether it is counted or not. */
export function pendingOf(sql: Statements, queue: number): Amount {
  queueRow(sql, queue);
  const { items, bytes } = (sql.pending.get(queue) ??
    sql.pendingUncounted.get({ queue })) as Amount;
  return { items, bytes };
}

/** What is left of the limit of a queue. */
export function roomOfQueue(sql: IntakeStatements, queue: number, limit: PendingLimit): Amount {
  return roomWithin(limit, (sql.pending.get(queue) as Amount | undefined) ?? NOTHING);
}

/** Refuses chunks that do not fit into the limits of their queues. Throws `QUEUE_FULL`. */
export function checkRoom(sql: IntakeStatements, chunks: readonly NewChunk[]): void {
  const needs = new Map<number, Amount>();
  for (const { queue, limit, count, bytes } of chunks) {
    if (limit === undefined) continue;
    const need = plus(needs.get(queue) ?? NOTHING, { items: count, bytes });
    needs.set(queue, need);
    const room = roomOfQueue(sql, queue, limit);
    if (!fitsInto(room, need)) throw new QueueFullError(limit, room, need);
  }
}

/** From here on the queue is counted, or it is not any more. */
export function countPending(
  sql: Statements,
  handle: SqliteHandle,
  queue: number,
  counted: boolean,
): void {
  const isCounted = sql.pending.get(queue) !== undefined;
  if (counted === isCounted) return;
  if (counted) {
    run(handle, PENDING_TRIGGERS);
    sql.countPending.run({ queue });
    return;
  }
  sql.stopPending.run(queue);
  if (sql.anyPending.get() === undefined) run(handle, PENDING_TRIGGERS_GONE);
}

/** Not prepared with the others: a statement that is running keeps a trigger from being made. */
function run(handle: SqliteHandle, texts: readonly string[]): void {
  for (const text of texts) prepare(handle, text).run();
}
