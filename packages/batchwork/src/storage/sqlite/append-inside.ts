/** Appending inside a transaction that the caller holds open. */
import { BatchworkError } from "../../core/errors.ts";
import type { AppendedChunk, NewChunk } from "../storage.ts";
import type { Connection } from "./connection.ts";
import { inTransaction, isBusy, isHandle, mainFile, type SqliteHandle } from "./handle.ts";
import { append } from "./intake.ts";
import { prepareIntake, type IntakeStatements } from "./prepared.ts";
import { storageError, type StorageClock } from "./transaction.ts";
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
  const sql = statementsOn(connection, openHandle(tx));
  try {
    return time.within(sql, (inside) => append(inside, chunks));
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
