/** Appending inside a transaction that the caller holds open. */
import { BatchworkError } from "../../core/errors.ts";
import type { AppendedChunk, NewChunk } from "../storage.ts";
import { isClient, type PostgresClient } from "./client.ts";
import type { Database } from "./database.ts";
import { codeOf, NO_TRANSACTION, OTHER_DATABASE, storageError } from "./failure.ts";
import { appendCall, appended } from "./intake.ts";
import { Facade } from "./tx.ts";

/** Fails outside of a transaction, where the append would commit by itself. Leaves nothing. */
const PROBE = "SAVEPOINT batchwork_add; RELEASE SAVEPOINT batchwork_add";

/** The schema, its function or the right to use it is not there. */
const NOT_HERE = new Set(["3F000", "42883", "42P01", "42501"]);

/** Inserts the chunks on the connection behind `tx`. Rejects with `TX_MISMATCH`, `TX_OVER`. */
export async function appendWithin(
  database: Database,
  tx: unknown,
  chunks: readonly NewChunk[],
): Promise<AppendedChunk[]> {
  const client = clientOf(tx);
  if (chunks.length === 0) return [];
  const { sql, values } = appendCall(chunks, database.at, [database.id]);
  try {
    if (!isInTransaction(client)) await client.query({ text: PROBE });
    return appended(await database.on(client, sql, values));
  } catch (error) {
    const code = codeOf(error);
    if (code === NO_TRANSACTION) {
      throw mismatch("It has no open transaction: run BEGIN on this very connection first.", error);
    }
    if (code === OTHER_DATABASE || NOT_HERE.has(code)) {
      throw mismatch("It is connected to another database.", error);
    }
    throw storageError(error);
  }
}

/** True where the driver knows. It does not know of a BEGIN that is still on its way. */
function isInTransaction(client: PostgresClient): boolean {
  if (!("getTransactionStatus" in client)) return false;
  const { getTransactionStatus: status } = client;
  return typeof status === "function" && status.call(client) === "T";
}

function clientOf(tx: unknown): PostgresClient {
  const facade = Facade.of(tx);
  if (facade !== undefined) {
    facade.refuseWhenOver();
    return facade.client;
  }
  if (isClient(tx)) return tx;
  throw mismatch("It is neither the tx of a ctx.tx nor a connection of pg.");
}

function mismatch(reason: string, cause?: unknown): BatchworkError {
  const message = `tx cannot be used to add items to this storage. ${reason}`;
  return new BatchworkError("TX_MISMATCH", message, { field: "tx", cause });
}
