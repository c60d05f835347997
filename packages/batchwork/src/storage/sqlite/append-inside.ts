/** Appending inside a transaction that the caller holds open. */
import { BatchworkError } from "../../core/errors.ts";
import type { KeyedAnswer, KeyedAppend } from "../../core/keyed.ts";
import type { AppendedChunk, NewChunk } from "../storage.ts";
import { appendKeyed } from "./append-keyed.ts";
import type { Connection } from "./connection.ts";
import {
  inTransaction,
  isBusy,
  isHandle,
  mainFile,
  shareLibrary,
  type SqliteHandle,
} from "./handle.ts";
import { append } from "./intake.ts";
import { prepareIntake, type IntakeStatements } from "./prepared.ts";
import { storageError, type StorageClock, type Transaction } from "./transaction.ts";
import { Facade } from "./tx.ts";

/** Statements on handles of the user's, as long as those live. */
const prepared = new WeakMap<SqliteHandle, IntakeStatements>();

/**
 * Inserts the chunks on the handle behind `tx`. Throws `TX_MISMATCH`, `TX_OVER`, `STORAGE_BUSY`.
 */
export function appendInside(
  connection: Connection,
  time: StorageClock,
  tx: unknown,
  chunks: readonly NewChunk[],
): AppendedChunk[] {
  return workInside(connection, time, tx, (inside) => append(inside, chunks));
}

/** The same for items with keys. */
export function appendKeyedInside(
  connection: Connection,
  time: StorageClock,
  tx: unknown,
  request: KeyedAppend,
): KeyedAnswer[] {
  return workInside(connection, time, tx, (inside) => appendKeyed(inside, request));
}

/** Works on the handle behind `tx`, in the transaction that is open on it. */
export function workInside<T>(
  connection: Connection,
  time: StorageClock,
  tx: unknown,
  work: (inside: Transaction<IntakeStatements>) => T,
): T {
  const sql = statementsOn(connection, openHandle(tx));
  try {
    return time.within(sql, work);
  } catch (error) {
    if (!isBusy(error)) throw storageError(error);
    const message = "The write lock is taken: begin your transaction with BEGIN IMMEDIATE.";
    throw new BatchworkError("STORAGE_BUSY", message, { field: "tx", cause: error });
  }
}

/** The handle behind `tx`, which has a transaction open. */
function openHandle(tx: unknown): SqliteHandle {
  const facade = Facade.of(tx);
  if (facade !== undefined) {
    facade.refuseWhenOver();
    return facade.handle;
  }
  if (!isHandle(tx)) throw mismatch("It is neither the tx of a ctx.tx nor a database handle.");
  if (!inTransaction(tx)) throw mismatch("It has no open transaction: run BEGIN IMMEDIATE first.");
  return tx;
}

function statementsOn(connection: Connection, handle: SqliteHandle): IntakeStatements {
  if (handle === connection.handle) return connection.statements;
  const file = mainFile(connection.handle);
  if (file === "" || mainFile(handle) !== file) {
    throw mismatch(`It belongs to "${mainFile(handle)}", and this storage to "${file}".`);
  }
  if (!shareLibrary(handle, connection.handle)) {
    throw mismatch(
      "It is of another SQLite library than this storage's own handle, and two libraries in one " +
        "process do not heed each other's locks: give sqlite({ database }) a handle of this kind.",
    );
  }
  let statements = prepared.get(handle);
  if (statements === undefined) {
    try {
      statements = prepareIntake(handle);
    } catch (error) {
      throw mismatch("Its transaction began before the storage was opened.", error);
    }
    prepared.set(handle, statements);
  }
  return statements;
}

function mismatch(reason: string, cause?: unknown): BatchworkError {
  const message = `tx cannot be used to add items to this storage. ${reason}`;
  return new BatchworkError("TX_MISMATCH", message, { field: "tx", cause });
}
