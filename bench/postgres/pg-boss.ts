/** pg-boss, tuned: `insert` of 500; `fetch` and `complete` in bulk, by several loops at once. */
import { PgBoss } from "pg-boss";
import { Deliveries } from "../harness/deliveries.ts";
import { items, slices, type Item } from "../harness/items.ts";
import { measured, type PostgresContext, type RunPostgres } from "./measured.ts";
import { withoutJit } from "./server.ts";

/** The fastest of those that were tried (README.md); connections are 10, its default. */
const LOOPS = 2;
const BATCH_SIZE = 2000;

const QUEUE = "bench";
const PER_CALL = 500;

/** All items are inserted in awaited calls of 500, then all are fetched and completed. */
export const pgBossCycle: RunPostgres = async (context) => {
  const all = items(context.items);
  const deliveries = new Deliveries(all.length);
  const boss = await open(context);
  const result = await measured(context, async (phase) => {
    for (const slice of slices(all, PER_CALL)) {
      const jobs = slice.map((data) => ({ data }));
      await boss.insert(QUEUE, jobs, { returnId: false });
    }
    phase("add");
    await processAll(boss, deliveries);
    phase("process");
  });
  await close(boss, deliveries);
  return result;
};

/** `send` by 64 callers, one item at a time; processed afterwards, untimed, and checked. */
export function pgBossSend(callers: number): RunPostgres {
  return async (context) => {
    const all = items(context.items);
    const deliveries = new Deliveries(all.length);
    const boss = await open(context);
    const result = await measured(context, async (phase) => {
      const rest = all.values();
      const caller = async (): Promise<void> => {
        for (const item of rest) await boss.send(QUEUE, item);
      };
      await Promise.all(Array.from({ length: callers }, caller));
      phase("add");
    });
    await processAll(boss, deliveries);
    await close(boss, deliveries);
    return result;
  };
}

async function open({ database }: PostgresContext): Promise<PgBoss> {
  const boss = new PgBoss({
    connectionString: withoutJit(database),
    // Nothing runs beside what is measured.
    supervise: false,
    schedule: false,
  });
  const { promise: failed, reject } = Promise.withResolvers<never>();
  boss.on("error", reject);
  await Promise.race([boss.start(), failed]);
  await boss.createQueue(QUEUE, { partition: true });
  return boss;
}

async function processAll(boss: PgBoss, deliveries: Deliveries): Promise<void> {
  const loop = async (): Promise<void> => {
    for (;;) {
      const jobs = await boss.fetch<Item>(QUEUE, { batchSize: BATCH_SIZE });
      if (jobs.length === 0) return;
      for (const { data } of jobs) deliveries.mark(data.id);
      await boss.complete(
        QUEUE,
        jobs.map(({ id }) => id),
      );
    }
  };
  await Promise.all(Array.from({ length: LOOPS }, loop));
}

async function close(boss: PgBoss, deliveries: Deliveries): Promise<void> {
  deliveries.verify();
  const [queue] = await boss.getQueueStats(QUEUE, { force: true });
  await boss.stop({ graceful: false });
  const { readyCount = 0, activeCount = 0, deferredCount = 0 } = queue ?? {};
  const left = readyCount + activeCount + deferredCount;
  if (left > 0) throw new Error(`${left} jobs were left behind`);
}
