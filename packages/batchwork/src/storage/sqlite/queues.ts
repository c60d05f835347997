/** Definitions, pauses, and what a claim has to know of a queue. */
import { BatchworkError } from "../../core/errors.ts";
import type { QueueClaim, QueueDefinition, QueueInfo } from "../storage.ts";
import type { Transaction } from "./transaction.ts";
import type { Statements } from "./prepared.ts";

/** A row of `batchwork_queues`. */
export interface QueueRow {
  readonly id: number;
  readonly paused: number;
  readonly notify: number;
  readonly counted: number;
  readonly max_size: number | null;
  readonly max_bytes: number | null;
  readonly group_concurrency: number | null;
}

/** The caps of a claim as SQLite can hold them: it has no infinity among its whole numbers. */
export interface Caps {
  readonly maxSize: number;
  readonly maxBytes: number;
  readonly groupConcurrency: number;
}

export function capsOf(claim: QueueClaim): Caps {
  return {
    maxSize: finite(claim.maxSize),
    maxBytes: finite(claim.maxBytes),
    groupConcurrency: finite(claim.groupConcurrency),
  };
}

function finite(cap: number): number {
  return Math.min(cap, Number.MAX_SAFE_INTEGER);
}

export function define({ sql }: Transaction, queues: readonly QueueDefinition[]): QueueInfo[] {
  return queues.map(({ name, notify }) => {
    const flag = notify ? 1 : 0;
    const row = sql.queueByName.get(name) as
      { readonly id: number; readonly paused: number; readonly notify: number } | undefined;
    if (row === undefined) {
      return { id: Number(sql.insertQueue.run(name, flag).lastInsertRowid), paused: false };
    }
    if (row.notify !== flag) sql.setNotify.run(flag, row.id);
    return { id: row.id, paused: row.paused === 1 };
  });
}

export function setPaused({ sql }: Transaction, queues: readonly number[], paused: boolean): void {
  const flag = paused ? 1 : 0;
  for (const id of queues) {
    queueRow(sql, id);
    sql.setPaused.run(flag, id, flag);
  }
}

/** The queue with this id. */
export function queueRow(sql: Statements, id: number): QueueRow {
  const row = sql.queue.get(id) as QueueRow | undefined;
  if (row !== undefined) return row;
  throw unknownQueue(id);
}

function unknownQueue(id: number): BatchworkError {
  const message = `No queue has the id ${id}: define it first.`;
  return new BatchworkError("STORAGE_FAILED", message, { field: "queue", value: id });
}
