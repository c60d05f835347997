/** BullMQ, tuned: `addBulk` of 500; workers with many jobs at once, completed jobs removed. */
import { createPostgresBackend, Queue, withBackend, Worker } from "bullmq";
import type { RunCase } from "../harness/case.ts";
import { Deliveries } from "../harness/deliveries.ts";
import { items, slices, type Item } from "../harness/items.ts";
import { Meter } from "../harness/meter.ts";
import { measured, type RunPostgres } from "../postgres/measured.ts";
import { HOST, startRedis, type RedisSettings } from "./server.ts";

/** The fastest of those that were tried (../README.md). */
const ON_REDIS = { workers: 4, concurrency: 50 };
const ON_POSTGRES = { workers: 1, concurrency: 100 };

const QUEUE = "bench";
const PER_CALL = 500;
const OPTIONS = { removeOnComplete: true } as const;
const LEFT = ["wait", "active", "delayed", "prioritized", "failed"] as const;

/** What is used here of a queue and of a worker, on either database. */
interface Parts {
  readonly queue: {
    readonly addBulk: (
      jobs: { name: string; data: Item; opts: typeof OPTIONS }[],
    ) => Promise<unknown>;
    readonly getJobCounts: (...states: typeof LEFT) => Promise<Readonly<Record<string, number>>>;
    readonly close: () => Promise<void>;
  };
  readonly workers: number;
  readonly worker: (process: Process) => {
    readonly on: (event: "error", listener: (error: Error) => void) => unknown;
    readonly run: () => Promise<void>;
    readonly close: () => Promise<void>;
  };
}

type Process = (job: { readonly data: Item }) => Promise<void>;

/** On a Redis that is started for it. */
export function bullmqOnRedis(settings: RedisSettings): RunCase {
  return async ({ items: count, directory }) => {
    const all = items(count);
    const deliveries = new Deliveries(count);
    const redis = await startRedis(directory, settings);
    try {
      const connection = { host: HOST, port: redis.port, maxRetriesPerRequest: null };
      const { workers, concurrency } = ON_REDIS;
      const queue = new Queue(QUEUE, { connection });
      await queue.waitUntilReady();
      const worker = (process: Process): Worker =>
        new Worker(QUEUE, process, { connection, concurrency, autorun: false });
      const before = await redis.cpuMs();
      const meter = await Meter.start({ items: count });
      await cycle({ queue, workers, worker }, all, deliveries, (phase) => meter.phase(phase));
      const own = await meter.stop();
      const cpuMs = (await redis.cpuMs()) - before;
      await close(queue, deliveries);
      const server = { walBytes: null, commits: null, roundTrips: null, cpuMs };
      return { ...own, server, durability: await redis.durability() };
    } finally {
      await redis.stop();
    }
  };
}

/** On the PostgreSQL that the other rows use. */
export const bullmqOnPostgres: RunPostgres = async (context) => {
  const all = items(context.items);
  const deliveries = new Deliveries(all.length);
  const backend = withBackend(createPostgresBackend);
  const { database: connectionString } = context;
  const connection = { connectionString, options: "-c jit=off", migrate: true };
  const { workers, concurrency } = ON_POSTGRES;
  const queue = new backend.Queue(QUEUE, { connection });
  await queue.waitUntilReady();
  const worker = (process: Process): ReturnType<Parts["worker"]> =>
    new backend.Worker<Item>(QUEUE, process, { connection, concurrency, autorun: false });
  const result = await measured(context, async (phase) =>
    cycle({ queue, workers, worker }, all, deliveries, phase),
  );
  await close(queue, deliveries);
  return result;
};

/** All items are added in awaited calls of 500, then workers run until all are completed. */
async function cycle(
  { queue, workers: count, worker }: Parts,
  all: readonly Item[],
  deliveries: Deliveries,
  phase: (name: string) => void,
): Promise<void> {
  for (const slice of slices(all, PER_CALL)) {
    await queue.addBulk(slice.map((data) => ({ name: QUEUE, data, opts: OPTIONS })));
  }
  phase("add");
  const { promise: failed, reject } = Promise.withResolvers<never>();
  const workers = Array.from({ length: count }, () =>
    worker(async ({ data }) => deliveries.mark(data.id)),
  );
  for (const one of workers) {
    one.on("error", reject);
    one.run().catch(reject);
  }
  await Promise.race([deliveries.complete, failed]);
  // Waits for what is still to be completed.
  await Promise.all(workers.map(async (one) => one.close()));
  phase("process");
}

async function close(queue: Parts["queue"], deliveries: Deliveries): Promise<void> {
  deliveries.verify();
  const counts = await queue.getJobCounts(...LEFT);
  await queue.close();
  const left = Object.values(counts).reduce((sum, count) => sum + count, 0);
  if (left > 0) throw new Error(`jobs were left behind: ${JSON.stringify(counts)}`);
}
