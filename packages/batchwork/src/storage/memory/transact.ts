/** A transaction lent to a handler: its appends, effects and the settling commit together. */
import { BatchworkError } from "../../core/errors.ts";
import type { KeyedAnswer, KeyedAppend } from "../../core/keyed.ts";
import type { AppendedChunk, NewChunk, Transact } from "../storage.ts";
import { appended, commitAppend, prepare, type Prepared } from "./append.ts";
import { StagedKeys } from "./append-keyed.ts";
import type { MemoryData } from "./data.ts";
import { settleBatch } from "./settle.ts";

/** What `ctx.tx` lends to a handler on memory storage. Revoked when the transaction ends. */
export interface MemoryTx {
  /**
   * Calls `effect` when the transaction has committed, in the order of the calls, and not at all
   * when it is rolled back. An effect must not throw. Throws `TX_OVER` after the transaction.
   */
  onCommit(effect: () => void): void;
}

/** The transaction behind a facade. */
class Transaction implements MemoryTx {
  readonly data: MemoryData;
  readonly now: number;
  readonly chunks: Prepared[] = [];
  readonly keys: StagedKeys;
  readonly #effects: (() => void)[] = [];
  #over = false;

  constructor(data: MemoryData, now: number) {
    this.data = data;
    this.now = now;
    this.keys = new StagedKeys(data, now);
  }

  onCommit(effect: () => void): void {
    this.refuseWhenOver();
    this.#effects.push(effect);
  }

  refuseWhenOver(): void {
    if (!this.#over) return;
    throw new BatchworkError("TX_OVER", "This transaction has ended: use its tx only inside it.");
  }

  revoke(): void {
    this.#over = true;
  }

  commit(): void {
    this.keys.commit();
    commitAppend(this.chunks, this.now);
    for (const effect of this.#effects) effect();
  }
}

/** What is done in a transaction beside the user's function. */
export interface Shared<R> {
  /** Runs first. Throws what the caller is told when nothing is to run. */
  readonly check: () => void;
  readonly run: (tx: never) => R | PromiseLike<R>;
  /** Runs after the user's function. Throws before it has changed anything, or not at all. */
  readonly finish: () => void;
}

/** Runs the request. Throws what `run` threw, `LEASE_LOST` or `TX_ASYNC`; nothing is kept then. */
export function transact<R>(data: MemoryData, request: Transact<R>, now: number): R {
  const check = (): void => refuseLost(data, request);
  const finish = (): void => {
    const outcome = request.outcome();
    check();
    settleBatch(data, request.lease, outcome, now);
  };
  return share(data, now, { check, run: request.run, finish });
}

export function share<R>(data: MemoryData, now: number, { check, run, finish }: Shared<R>): R {
  check();
  const transaction = new Transaction(data, now);
  let result: R | PromiseLike<R>;
  try {
    result = run(transaction as never);
    if (isThenable(result)) {
      // It goes on without us and fails when it next uses its tx: that is no unhandled rejection.
      result.then(undefined, () => undefined);
      const message = "ctx.tx runs a synchronous function: do asynchronous work before it.";
      throw new BatchworkError("TX_ASYNC", message);
    }
    finish();
  } finally {
    transaction.revoke();
  }
  transaction.commit();
  return result;
}

/** Appends inside a running `transact` of the same data. */
export function appendInside(
  data: MemoryData,
  tx: unknown,
  chunks: readonly NewChunk[],
): AppendedChunk[] {
  const transaction = openTransaction(data, tx);
  const prepared = prepare(data, chunks, transaction.now, transaction.chunks);
  transaction.chunks.push(...prepared);
  return appended(prepared);
}

/** Does `effect` when the transaction behind `tx` has committed. */
export function commitWith<T>(
  data: MemoryData,
  tx: unknown,
  prepare: (now: number) => { readonly answer: T; readonly effect: () => void },
): T {
  const transaction = openTransaction(data, tx);
  const { answer, effect } = prepare(transaction.now);
  transaction.onCommit(effect);
  return answer;
}

/** Appends items with keys inside a running `transact` of the same data. */
export function appendKeyedInside(
  data: MemoryData,
  tx: unknown,
  append: KeyedAppend,
): KeyedAnswer[] {
  const { keys, chunks } = openTransaction(data, tx);
  return keys.append(append, chunks);
}

function openTransaction(data: MemoryData, tx: unknown): Transaction {
  if (!(tx instanceof Transaction)) {
    const message = "Memory storage shares no transaction but that of ctx.tx: pass its tx.";
    throw new BatchworkError("TX_UNSUPPORTED", message, { field: "tx" });
  }
  if (tx.data !== data) {
    const message = "This tx belongs to another storage: add to a queue of that storage.";
    throw new BatchworkError("TX_MISMATCH", message, { field: "tx" });
  }
  tx.refuseWhenOver();
  return tx;
}

function refuseLost(data: MemoryData, { lease }: Transact<unknown>): void {
  if (data.batches.get(lease.batch)?.isLeasedUnder(lease)) return;
  const message = `Batch ${lease.batch} is no longer leased under token ${lease.token}.`;
  throw new BatchworkError("LEASE_LOST", message, {
    field: "token",
    value: lease.token,
  });
}

function isThenable(value: unknown): value is PromiseLike<unknown> {
  return (
    (typeof value === "object" || typeof value === "function") &&
    value !== null &&
    "then" in value &&
    typeof value.then === "function"
  );
}
