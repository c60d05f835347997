/** The part of the port that runs tasks, on SQLite: gives each method its transaction. */
import type { Lease } from "../../core/lease.ts";
import type {
  CancelAnswer,
  FoundTask,
  PoolCounts,
  PoolDefinition,
  PoolExchange,
  PoolExchanged,
  PoolStorage,
} from "../pools.ts";
import { cancel, cancelAll } from "./pool-cancel.ts";
import { exchangeTasks } from "./pool-exchange.ts";
import { countTasks, findTasks } from "./pool-find.ts";
import { readyDelayed, sliceAllChunks } from "./pool-intake.ts";
import { reconcileSlices, releaseSlices } from "./pool-leases.ts";
import { definePools, poolRow } from "./pool-rows.ts";
import { queueRow } from "./queues.ts";
import type { Transaction, Transactions } from "./transaction.ts";

/** See {@link PoolStorage} for what each method promises. */
export class SqlitePools implements PoolStorage {
  readonly #ready: () => Transactions;

  constructor(ready: () => Transactions) {
    this.#ready = ready;
  }

  async define(pools: readonly PoolDefinition[]): Promise<void> {
    await this.#write((tx) => definePools(tx, pools));
  }

  async setParallelism(queue: number, maxParallelism: number | null): Promise<void> {
    await this.#write(({ sql }) => {
      poolRow(sql, queue);
      sql.setParallelism.run({ queue, n: finite(maxParallelism) });
    });
  }

  async parallelism(queue: number): Promise<number | null> {
    return this.#ready().read((sql) => poolRow(sql, queue).parallelism);
  }

  async exchange(request: PoolExchange): Promise<PoolExchanged> {
    return this.#write((tx) => exchangeTasks(tx, request));
  }

  async reconcile(incarnation: number, known: readonly Lease[]): Promise<Lease[]> {
    return this.#write((tx) => reconcileSlices(tx, incarnation, known));
  }

  async release(leases: readonly Lease[]): Promise<void> {
    await this.#write((tx) => releaseSlices(tx, leases));
  }

  async cancel(queue: number, ids: readonly string[]): Promise<CancelAnswer[]> {
    return this.#write((tx) => cancel(tx, queue, ids));
  }

  async cancelAll(queue: number, slices: number): Promise<{ canceled: number; more: boolean }> {
    return this.#write((tx) => cancelAll(tx, queue, slices));
  }

  async findTasks(queue: number, ids: readonly string[]): Promise<FoundTask[]> {
    return this.#ready().readAt((sql, now) => findTasks({ sql, now }, queue, ids));
  }

  async counts(queue: number): Promise<PoolCounts> {
    return this.#write((tx) => {
      sliceAllChunks(tx, queueRow(tx.sql, queue));
      readyDelayed(tx, queue);
      return countTasks(tx, queue);
    });
  }

  async #write<T>(work: (tx: Transaction) => T): Promise<T> {
    return this.#ready().write(work);
  }
}

/** SQLite has no infinity among its whole numbers. */
function finite(n: number | null): number | null {
  return n === null ? null : Math.min(n, Number.MAX_SAFE_INTEGER);
}
