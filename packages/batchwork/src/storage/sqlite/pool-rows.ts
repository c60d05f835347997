/** The rows of pools. */
import { BatchworkError } from "../../core/errors.ts";
import type { PoolDefinition } from "../pools.ts";
import type { Statements } from "./prepared.ts";
import { queueRow } from "./queues.ts";
import type { Transaction } from "./transaction.ts";

/** A row of `batchwork_pools`. */
export interface PoolRow {
  readonly queue: number;
  readonly callbacks: number | null;
  /** `null` for ever. */
  readonly result_ttl_ms: number | null;
  readonly parallelism: number | null;
}

export function definePools({ sql }: Transaction, pools: readonly PoolDefinition[]): void {
  for (const { queue, callbacks, resultTtlMs } of pools) {
    queueRow(sql, queue);
    if (callbacks !== null) queueRow(sql, callbacks);
    const ttl = resultTtlMs === Number.POSITIVE_INFINITY ? null : Math.ceil(resultTtlMs);
    sql.definePool.run(queue, callbacks, ttl);
  }
}

/** The pool with this id. */
export function poolRow(sql: Statements, queue: number): PoolRow {
  const row = sql.pool.get(queue) as PoolRow | undefined;
  if (row !== undefined) return row;
  const message = `No pool has the id ${queue}: define it first.`;
  throw new BatchworkError("STORAGE_FAILED", message, { field: "queue", value: queue });
}

/** Reads each row once. */
export class PoolRows {
  readonly #sql: Statements;
  readonly #rows = new Map<number, PoolRow>();

  constructor(sql: Statements) {
    this.#sql = sql;
  }

  get(queue: number): PoolRow {
    let row = this.#rows.get(queue);
    if (row === undefined) {
      row = poolRow(this.#sql, queue);
      this.#rows.set(queue, row);
    }
    return row;
  }
}
