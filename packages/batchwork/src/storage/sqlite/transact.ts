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

/**
 * Runs the request. A busy database is thrown as it is, before anything ran, so the caller may try
 * again; whatever goes wrong later is thrown as {@link RolledBackError}, because `run` must not run
 * twice.
 */
export function transact<R>(connection: Connection, time: StorageClock, request: Transact<R>): R {
  connection.begin("write");
  let result: R;
  try {
    result = time.within(connection.statements, (tx) => runInside(connection, tx, request));
  } catch (error) {
    connection.rollbackAfterError();
    throw error instanceof RolledBackError ? error : new RolledBackError(storageError(error));
  }
  try {
    connection.commit();
  } catch (error) {
    connection.rollbackAfterError();
    // The commit may have happened all the same: the settlement is the proof.
    const row = connection.statements.leaseOf.get(request.lease.batch);
    if (!wasSettled(row, request.lease)) throw new RolledBackError(commitError(error));
  }
  return result;
}

function runInside<R>(connection: Connection, tx: Transaction, request: Transact<R>): R {
  const { lease } = request;
  if (!isLeased(tx, lease)) throw lost(lease);
  const { handle } = connection;
  handle.exec(SAVEPOINT.set);
  const result = runUser(() => runWithFacade(connection, request));
  try {
    handle.exec(SAVEPOINT.release);
  } catch (cause) {
    const message = "ctx.tx: the transaction was ended inside it, so nothing was settled with it.";
    throw new BatchworkError("TX_OVER", message, { cause });
  }
  const outcome = runUser(() => request.outcome());
  const groups = new GroupChanges(tx);
  if (!settle(tx, groups, lease, outcome)) throw lost(lease);
  groups.save();
  return result;
}

function runWithFacade<R>(connection: Connection, request: Transact<R>): R {
  const facade = new Facade(connection.handle);
  try {
    const result = request.run(facade.tx as never);
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
function runUser<R>(run: () => R): R {
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
