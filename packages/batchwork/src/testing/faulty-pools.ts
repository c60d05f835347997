/** The pools of a storage that fails and dawdles on a schedule. */
import type { Lease } from "../core/lease.ts";
import type {
  CancelAnswer,
  FoundTask,
  PoolCounts,
  PoolDefinition,
  PoolExchange,
  PoolExchanged,
  PoolStorage,
} from "../storage/pools.ts";

/** A method of the pools, as a schedule names it. */
export type PoolMethod = `pools.${keyof PoolStorage}`;

/** Carries a call out as the schedule says. */
export type FaultyCall = <R>(method: PoolMethod, run: () => Promise<R>) => Promise<R>;

export class FaultyPools implements PoolStorage {
  readonly #inner: PoolStorage;
  readonly #call: FaultyCall;

  constructor(inner: PoolStorage, call: FaultyCall) {
    this.#inner = inner;
    this.#call = call;
  }

  define(pools: readonly PoolDefinition[]): Promise<void> {
    return this.#call("pools.define", () => this.#inner.define(pools));
  }

  setParallelism(queue: number, maxParallelism: number | null): Promise<void> {
    return this.#call("pools.setParallelism", () =>
      this.#inner.setParallelism(queue, maxParallelism),
    );
  }

  parallelism(queue: number): Promise<number | null> {
    return this.#call("pools.parallelism", () => this.#inner.parallelism(queue));
  }

  exchange(request: PoolExchange): Promise<PoolExchanged> {
    return this.#call("pools.exchange", () => this.#inner.exchange(request));
  }

  reconcile(incarnation: number, known: readonly Lease[]): Promise<Lease[]> {
    return this.#call("pools.reconcile", () => this.#inner.reconcile(incarnation, known));
  }

  release(leases: readonly Lease[]): Promise<void> {
    return this.#call("pools.release", () => this.#inner.release(leases));
  }

  cancel(queue: number, ids: readonly string[]): Promise<CancelAnswer[]> {
    return this.#call("pools.cancel", () => this.#inner.cancel(queue, ids));
  }

  cancelAll(queue: number, slices: number): Promise<{ canceled: number; more: boolean }> {
    return this.#call("pools.cancelAll", () => this.#inner.cancelAll(queue, slices));
  }

  findTasks(queue: number, ids: readonly string[]): Promise<FoundTask[]> {
    return this.#call("pools.findTasks", () => this.#inner.findTasks(queue, ids));
  }

  counts(queue: number): Promise<PoolCounts> {
    return this.#call("pools.counts", () => this.#inner.counts(queue));
  }
}
