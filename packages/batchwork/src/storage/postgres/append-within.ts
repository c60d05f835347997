/** Appending inside a transaction that the caller holds open. */
import { BatchworkError } from "../../core/errors.ts";
import type { AppendedChunk, NewChunk } from "../storage.ts";
import { within, type Grant } from "./budgets.ts";
import type { PostgresClient } from "./client.ts";
import type { Database } from "./database.ts";
import { codeOf, NO_TRANSACTION, OTHER_DATABASE, storageError } from "./failure.ts";
import { connectionOf, drizzleClient } from "./foreign-transaction.ts";
import { appendCall, appended } from "./intake.ts";
import { Facade } from "./tx.ts";

/** Fails outside of a transaction, where the append would commit by itself. Leaves nothing. */
const PROBE = "SAVEPOINT batchwork_add; RELEASE SAVEPOINT batchwork_add";

/** The schema, its function or the right to use it is not there. */
const NOT_HERE = new Set(["3F000", "42883", "42P01", "42501"]);

/** A statement that appends in a transaction, and the columns it answers with. */
export interface WithinCall {
  readonly sql: string;
  readonly values: readonly unknown[];
  readonly columns: readonly string[];
}

/** Inserts the chunks on the connection behind `tx`. Rejects with `TX_MISMATCH`, `TX_OVER`. */
export async function appendWithin(
  database: Database,
  tx: unknown,
  chunks: readonly NewChunk[],
  grants: readonly Grant[] = [],
): Promise<AppendedChunk[]> {
  if (chunks.length === 0) return [];
  const call = within(appendCall(chunks, database.at, [database.id]), grants, database.at);
  const rows = await runWithin(database, tx, { ...call, columns: ["id", "due_at"] });
  // Other libraries have other parsers for bigint.
  return appended(rows.map((row) => ({ id: Number(row["id"]), due_at: Number(row["due_at"]) })));
}

/** Runs the statement on the connection behind `tx`. Rejects with `TX_MISMATCH`, `TX_OVER`. */
export async function runWithin(
  database: Database,
  tx: unknown,
  { sql, values, columns }: WithinCall,
): Promise<readonly Readonly<Record<string, unknown>>[]> {
  const client = clientOf(tx, columns);
  try {
    if (!isInTransaction(client)) await client.query({ text: PROBE });
    return await database.on(client, sql, values);
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

function clientOf(tx: unknown, columns: readonly string[]): PostgresClient {
  const facade = Facade.of(tx) ?? Facade.of(drizzleClient(tx));
  if (facade !== undefined) {
    facade.refuseWhenOver();
    return facade.client;
  }
  const client = connectionOf(tx, columns);
  if (client !== undefined) return client;
  throw mismatch(
    "It is neither the tx of a ctx.tx nor a transaction of pg, Drizzle, Kysely or postgres.js.",
  );
}

function mismatch(reason: string, cause?: unknown): BatchworkError {
  const message = `tx cannot be used to add items to this storage. ${reason}`;
  return new BatchworkError("TX_MISMATCH", message, { field: "tx", cause });
}
