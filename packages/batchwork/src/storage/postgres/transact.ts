/** A transaction that a handler shares: its writes and the settling of its batch are one. */
import { BatchworkError } from "../../core/errors.ts";
import type { Lease } from "../../core/lease.ts";
import type { Transact } from "../storage.ts";
import type { PostgresPoolClient } from "./client.ts";
import type { Database } from "./database.ts";
import { storageError } from "./failure.ts";
import { outcomeText } from "./settle.ts";
import { Facade } from "./tx.ts";

/** Gone when somebody ended the transaction behind our back, even if they began another one. */
const SAVEPOINT = "SAVEPOINT batchwork_tx";
const RELEASE = "RELEASE SAVEPOINT batchwork_tx";

const LEASED =
  "SELECT 1 AS leased FROM @.batches WHERE id = $1 AND token = $2 AND state = 'leased'";

export async function transact<R>(database: Database, request: Transact<R>): Promise<R> {
  const { batch, token } = request.lease;
  return database.transaction(
    async (client) => runInside(database, client, request),
    async (error) => {
      // The commit may have happened all the same: the settlement is the proof.
      const row = await database.row("SELECT @.was_settled($1, $2) AS settled", [batch, token]);
      if (row["settled"] !== true) throw storageError(error);
    },
  );
}

async function runInside<R>(
  database: Database,
  client: PostgresPoolClient,
  request: Transact<R>,
): Promise<R> {
  const { batch, token } = request.lease;
  // Without a lock: nobody is held up while the handler's function runs. The settling asks again.
  const leased = await engine(async () => {
    const rows = await database.on(client, LEASED, [batch, token]);
    if (rows.length > 0) await client.query({ text: SAVEPOINT });
    return rows.length > 0;
  });
  if (!leased) throw lost(request.lease);
  const facade = new Facade(client);
  let result: R;
  try {
    result = await request.run(facade.tx as never);
  } finally {
    facade.revoke();
  }
  try {
    await client.query({ text: RELEASE });
  } catch (cause) {
    const message =
      "ctx.tx: the transaction was ended or had failed inside it, so nothing was settled with it.";
    throw new BatchworkError("TX_OVER", message, { cause });
  }
  const outcome = outcomeText(request.outcome());
  const sql = "SELECT @.settle_one($1, $2, $3, $4) AS settled";
  const [row] = await engine(async () =>
    database.on(client, sql, [batch, token, outcome, database.at]),
  );
  if (row?.["settled"] !== true) throw lost(request.lease);
  return result;
}

/** An error of our own statements is the storage's; the handler's is passed on as it is. */
async function engine<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw storageError(error);
  }
}

function lost({ batch, token }: Lease): BatchworkError {
  const message = `Batch ${batch} is no longer leased under token ${token}: nothing was written.`;
  return new BatchworkError("LEASE_LOST", message, { field: "token", value: token });
}
