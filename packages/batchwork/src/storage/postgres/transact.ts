/** A transaction that a handler shares: its writes and the settling of its batch are one. */
import { BatchworkError } from "../../core/errors.ts";
import type { Lease } from "../../core/lease.ts";
import type { Transact } from "../storage.ts";
import type { PostgresPoolClient } from "./client.ts";
import type { Database, Ending } from "./database.ts";
import {
  busyError,
  codeOf,
  FAILED_TRANSACTION,
  isTransient,
  LEASE_LOST,
  NO_SAVEPOINT,
  NO_TRANSACTION,
  storageError,
} from "./failure.ts";
import { outcomeText } from "./settle.ts";
import { settleText } from "./statements.ts";
import { Facade } from "./tx.ts";

const LEASED =
  "SELECT 1 AS leased FROM @.batches WHERE id = $1 AND token = $2 AND state = 'leased'";

/** Somebody ended the transaction behind our back, even if they began another one, or it failed. */
const OVER = new Set([NO_SAVEPOINT, NO_TRANSACTION, FAILED_TRANSACTION]);

export async function transact<R>(database: Database, request: Transact<R>): Promise<R> {
  return database.transaction(
    async (client) => runInside(database, client, request),
    () => ending(database, request),
  );
}

async function runInside<R>(
  database: Database,
  client: PostgresPoolClient,
  request: Transact<R>,
): Promise<R> {
  const { batch, token } = request.lease;
  // Without a lock: nobody is held up while the handler's function runs. The settling asks again.
  if (!(await found(database, client, LEASED, [batch, token]))) throw lost(request.lease);
  return lend(database, client, request.run);
}

/** Runs the user's function with a facade of the connection. */
export async function lend<R>(
  database: Database,
  client: PostgresPoolClient,
  run: (tx: never) => R | PromiseLike<R>,
): Promise<R> {
  const facade = new Facade(client, database.replyTimeoutMs);
  try {
    return await run(facade.tx as never);
  } finally {
    facade.revoke();
  }
}

/**
 * True when the statement finds a row. An error of our own statement is the storage's; the
 * handler's are passed on as they are.
 */
export async function found(
  database: Database,
  client: PostgresPoolClient,
  sql: string,
  values: readonly unknown[],
): Promise<boolean> {
  try {
    return (await database.on(client, sql, values)).length > 0;
  } catch (error) {
    throw storageError(error);
  }
}

/**
 * Settles and commits in one message: between the two a process that stops, or whose connection
 * does, would hold up everybody else in the group.
 */
function ending<R>(database: Database, { lease, outcome }: Transact<R>): Ending {
  const { batch, token } = lease;
  return {
    sql: settleText(
      database.text("@.settle_one"),
      batch,
      token,
      outcomeText(outcome()),
      database.at,
    ),
    refused: (error) => refusal(error, lost(lease)),
    unanswered: async (error) => {
      // The commit may have happened all the same: the settlement is the proof.
      if (!(await wasSettled(database, lease))) throw storageError(error);
    },
  };
}

/** What the server's refusal to end a shared transaction means. */
export function refusal(error: unknown, lost: BatchworkError): unknown {
  const code = codeOf(error);
  if (code === LEASE_LOST) return lost;
  if (isTransient(error)) return busyError(error);
  if (!OVER.has(code)) return error;
  const message =
    "ctx.tx: the transaction was ended inside it, or a statement in it had failed, " +
    "so nothing was settled with it.";
  return new BatchworkError("TX_OVER", message, { cause: error });
}

/** False as well when nobody can tell: the caller is told that it may have happened. */
async function wasSettled(database: Database, { batch, token }: Lease): Promise<boolean> {
  try {
    const row = await database.row("SELECT @.was_settled($1, $2) AS settled", [batch, token]);
    return row["settled"] === true;
  } catch {
    return false;
  }
}

function lost({ batch, token }: Lease): BatchworkError {
  const message = `Batch ${batch} is no longer leased under token ${token}: nothing was written.`;
  return new BatchworkError("LEASE_LOST", message, { field: "token", value: token });
}
