/**
 * A transaction that a handler shares: its writes and the settling of its batch commit together.
 */
import { BatchworkError } from "../../core/errors.ts";
import type { Lease } from "../../core/lease.ts";
import type { Transact } from "../storage.ts";
import type { Connection } from "./connection.ts";
import { GroupChanges } from "./group-changes.ts";
import { isBusy } from "./handle.ts";
import { isLeased, settle, wasSettled } from "./settle.ts";
import {
  RolledBackError,
  storageError,
  type StorageClock,
  type Transaction,
} from "./transaction.ts";
import { Facade } from "./tx.ts";

/** Gone when somebody ended the transaction behind our back, even if they began another one. */
const SAVEPOINT = { set: "SAVEPOINT batchwork_tx", release: "RELEASE batchwork_tx" } as const;

/** What is done in a transaction beside the user's function. */
export interface Shared<R> {
  /** Runs first. Throws what the caller is told when nothing is to run. */
  readonly check: (tx: Transaction) => void;
  readonly run: (tx: never) => R | PromiseLike<R>;
  /** Runs after the user's function. */
  readonly finish: (tx: Transaction) => void;
  /** Whether it is all there, asked when a commit failed. */
  readonly happened: () => boolean;
}

export function transact<R>(connection: Connection, time: StorageClock, request: Transact<R>): R {
  const { lease, run } = request;
  return share(connection, time, {
    check: (tx) => {
      if (!isLeased(tx, lease)) throw lost(lease);
    },
    run,
    finish: (tx) => {
      const outcome = runUser(() => request.outcome());
      const groups = new GroupChanges(tx);
      if (!settle(tx, groups, lease, outcome)) throw lost(lease);
      groups.save();
    },
    happened: () => wasSettled(connection.statements.leaseOf.get(lease.batch), lease),
  });
}

/**
 * Runs it all. A busy database is thrown as it is, before anything ran, so the caller may try
 * again; whatever goes wrong later is thrown as {@link RolledBackError}, because `run` must not run
 * twice.
 */
export function share<R>(connection: Connection, time: StorageClock, shared: Shared<R>): R {
  connection.begin("write");
  let result: R;
  try {
    result = time.within(connection.statements, (tx) => runInside(connection, tx, shared));
  } catch (error) {
    connection.rollbackAfterError();
    throw error instanceof RolledBackError ? error : new RolledBackError(storageError(error));
  }
  try {
    connection.commit();
  } catch (error) {
    connection.rollbackAfterError();
    // The commit may have happened all the same: what was written is the proof.
    if (!shared.happened()) throw new RolledBackError(commitError(error));
  }
  return result;
}

function runInside<R>(connection: Connection, tx: Transaction, shared: Shared<R>): R {
  shared.check(tx);
  const { handle } = connection;
  handle.exec(SAVEPOINT.set);
  const result = runUser(() => runWithFacade(connection, shared));
  try {
    handle.exec(SAVEPOINT.release);
  } catch (cause) {
    const message = "ctx.tx: the transaction was ended inside it, so nothing was settled with it.";
    throw new BatchworkError("TX_OVER", message, { cause });
  }
  shared.finish(tx);
  return result;
}

function runWithFacade<R>(connection: Connection, shared: Shared<R>): R {
  const facade = new Facade(connection.handle);
  try {
    const result = shared.run(facade.tx as never);
    if (!isThenable(result)) return result;
    // It goes on without us and fails when it next uses its tx: that is no unhandled rejection.
    result.then(undefined, () => undefined);
    const message = "ctx.tx runs a synchronous function: do asynchronous work before it.";
    throw new BatchworkError("TX_ASYNC", message);
  } finally {
    facade.revoke();
  }
}

/** What the user's code throws is passed on as it is. */
export function runUser<R>(run: () => R): R {
  try {
    return run();
  } catch (error) {
    throw new RolledBackError(error);
  }
}

function lost({ batch, token }: Lease): BatchworkError {
  const message = `Batch ${batch} is no longer leased under token ${token}: nothing was written.`;
  return new BatchworkError("LEASE_LOST", message, { field: "token", value: token });
}

function commitError(error: unknown): unknown {
  if (!isBusy(error)) return storageError(error);
  const message = "The database was busy when ctx.tx was to commit; it was rolled back.";
  return new BatchworkError("STORAGE_BUSY", message, { cause: error });
}

function isThenable(value: unknown): value is PromiseLike<unknown> {
  if ((typeof value !== "object" && typeof value !== "function") || value === null) return false;
  return "then" in value && typeof value.then === "function";
}
