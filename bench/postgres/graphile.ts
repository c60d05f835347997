/** graphile-worker, tuned: `addJobs` of 500; a local queue, many jobs at once, batched completes. */
import pg from "pg";
import { Deliveries } from "../harness/deliveries.ts";
import { items, slices, type Item } from "../harness/items.ts";
import { measured, type RunPostgres } from "./measured.ts";
import { withoutJit } from "./server.ts";

/** The fastest of those that were tried (README.md). */
const TUNED = {
  concurrentJobs: 24,
  maxPoolSize: 20,
  localQueue: { size: 5000 },
  completeJobBatchDelay: 20,
  failJobBatchDelay: 20,
};

const PER_CALL = 500;

/** Logging a line for each job is left out by this variable, which is read once. */
process.env["NO_LOG_SUCCESS"] = "1";

/** All items are added in awaited calls of 500, then a runner runs until all are completed. */
export const graphile: RunPostgres = async (context) => {
  const { Logger, makeWorkerUtils, run } = await import("graphile-worker");
  const all = items(context.items);
  const deliveries = new Deliveries(all.length);
  const connectionString = withoutJit(context.database);
  const worker = { ...TUNED, connectionString, logger: new Logger(() => ignore) };
  const utils = await makeWorkerUtils({ preset: { worker } });
  await utils.migrate();
  const taskList = { bench: (payload: unknown) => deliveries.mark((payload as Item).id) };
  const result = await measured(context, async (phase) => {
    for (const slice of slices(all, PER_CALL)) {
      await utils.addJobs(slice.map((payload) => ({ identifier: "bench", payload })));
    }
    phase("add");
    const runner = await run({ preset: { worker }, noHandleSignals: true, taskList });
    await deliveries.complete;
    // Completes what is still to be completed.
    await runner.stop();
    phase("process");
  });
  await utils.release();
  deliveries.verify();
  await checkEmpty(context.database);
  return result;
};

async function checkEmpty(database: string): Promise<void> {
  const client = new pg.Client({ connectionString: database });
  await client.connect();
  const { rows } = await client.query<{ left: number }>(
    "SELECT count(*)::int AS left FROM graphile_worker.jobs",
  );
  await client.end();
  if (rows[0]?.left !== 0) throw new Error(`${rows[0]?.left} jobs were left behind`);
}

function ignore(): void {
  // Nothing is logged.
}
