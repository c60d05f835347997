/** What a worker is defined with. */
import type { WorkerSettings } from "../core/worker-options.ts";
import type { AsyncFacade, Facade } from "./facade.ts";

export type { WorkerRetries } from "../core/worker-options.ts";

/** What `query` returns: the next batch, or that there is none. */
export type Work<B> = { readonly kind: "work"; readonly batch: B } | WorkerIdle;

/** Nothing to do. */
export interface WorkerIdle {
  readonly kind: "idle";
  /** How long to go on looking before the worker goes idle, ms. Default 250. */
  readonly cooldownMs?: number;
  /** How often it looks meanwhile, ms. Default 50. */
  readonly pollIntervalMs?: number;
  /** Once idle, look again after that, ping or not, ms. Default: not before a ping. */
  readonly timeoutMs?: number;
}

/** What `process` may return. */
export interface Processed {
  /** Do not look again, pings or not, for so long, ms. Default 0. */
  readonly debounceMs?: number;
}

/** An element of a batch that is an array, else the batch. */
export type UnitOf<B> = B extends readonly (infer Item)[] ? Item : B;

/** What `query` is told. */
export interface QueryArgs<Unit> {
  /** Name of the worker. */
  readonly name: string;
  /** `undefined` for a worker without partitions. */
  readonly partition: string | undefined;
  /**
   * Items, or batches that are not arrays, that failed and wait, or are dead letters. What `query`
   * returns of them is left out; leave them out there, when they would be in the way of others.
   */
  readonly except: readonly Unit[];
}

/** What `process` returns, or its promise brings. */
export type MaybeProcessed = Processed | undefined | void;

/** What `process` is told besides the batch. */
export interface WorkerContext {
  readonly name: string;
  /** `undefined` for a worker without partitions. */
  readonly partition: string | undefined;
  /** Aborts when the result no longer counts: `LEASE_LOST`, or `STOPPED`. */
  readonly signal: AbortSignal;
}

/** A worker on SQLite, or on memory: its functions are synchronous. */
export interface WorkerOptions<B> extends WorkerSettings {
  /**
   * Returns the next batch, or that there is none. Runs in one transaction with `process` and with
   * the loop's own state.
   */
  readonly query: (tx: Facade, args: QueryArgs<UnitOf<B>>) => Work<B>;
  /**
   * Processes the batch, and sees to it that `query` does not return it again: deletes the rows, or
   * marks them. Its writes through `tx` and the loop's state commit together, so they happen
   * exactly once.
   */
  readonly process: (tx: Facade, batch: B, context: WorkerContext) => Processed | undefined | void;
  /**
   * Called in the transaction that makes dead letters of items that are out of attempts: sees to
   * it that `query` does not return them again.
   */
  readonly setAside?: (tx: Facade, items: readonly UnitOf<B>[], error: Error) => void;
}

/** A worker on PostgreSQL: its functions are asynchronous. */
export interface AsyncWorkerOptions<B> extends WorkerSettings {
  /** See {@link WorkerOptions.query}. */
  readonly query: (tx: AsyncFacade, args: QueryArgs<UnitOf<B>>) => Promise<Work<B>>;
  /** See {@link WorkerOptions.process}. */
  readonly process: (
    tx: AsyncFacade,
    batch: B,
    context: WorkerContext,
  ) => Promise<Processed | undefined | void>;
  /** See {@link WorkerOptions.setAside}. */
  readonly setAside?: (tx: AsyncFacade, items: readonly UnitOf<B>[], error: Error) => Promise<void>;
}

/** Either, as it is called. */
export interface AnyWorkerOptions extends WorkerSettings {
  readonly query: (
    tx: never,
    args: QueryArgs<unknown>,
  ) => Work<unknown> | PromiseLike<Work<unknown>>;
  readonly process: (
    tx: never,
    batch: unknown,
    context: WorkerContext,
  ) => Processed | undefined | void | PromiseLike<Processed | undefined | void>;
  readonly setAside?: ((tx: never, items: readonly unknown[], error: Error) => unknown) | undefined;
}
