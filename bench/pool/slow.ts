/**
 * Tasks that wait for something for two seconds, as a fetch does, on several executors: engines
 * with a connection of their own each. The time is from the first enqueue to the last settled task.
 */
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { Batchwork, type Pool, type Storage } from "batchwork";
import { postgres } from "batchwork/postgres";
import { sqlite } from "batchwork/sqlite";
import type { RunCase } from "../harness/case.ts";
import { Deliveries } from "../harness/deliveries.ts";
import { Meter } from "../harness/meter.ts";
import {
  durabilityOf,
  walCommits,
  watchConnections,
  weakestSynchronous,
} from "../harness/sqlite-facts.ts";
import { measured, type RunPostgres } from "../postgres/measured.ts";

/** How long each task takes, ms. */
export const SLOW_MS = 2000;

/** As the table that this is compared with has it. */
export interface SlowOptions {
  readonly executors: number;
  /** Tasks that one executor runs at a time. */
  readonly perExecutor: number;
}

type SlowPool = Pool<{ readonly slow: (args: { readonly id: number }) => Promise<number> }>;

interface Executor {
  readonly engine: Batchwork;
  readonly pool: SlowPool;
}

const PER_CALL = 1000;

export function slow(options: SlowOptions): RunCase {
  return async ({ items, directory }) => {
    watchConnections();
    const path = join(directory, "batchwork.db");
    const deliveries = new Deliveries(items);
    const executors = await open(() => sqlite({ path }), deliveries, options);
    const meter = await Meter.start({ items, commits: () => walCommits(path) });
    await run(executors, items, deliveries);
    const measurement = await meter.stop();
    const durability = durabilityOf(weakestSynchronous());
    await close(executors);
    deliveries.verify();
    return { ...measurement, durability };
  };
}

export function slowOnPostgres(options: SlowOptions): RunPostgres {
  return async (context) => {
    const { items, database } = context;
    const deliveries = new Deliveries(items);
    const connect = (): Storage => postgres({ connectionString: database });
    const executors = await open(connect, deliveries, options);
    const result = await measured(context, async () => run(executors, items, deliveries));
    await close(executors);
    deliveries.verify();
    return result;
  };
}

async function open(
  connect: () => Storage,
  deliveries: Deliveries,
  { executors, perExecutor }: SlowOptions,
): Promise<Executor[]> {
  const opened: Executor[] = [];
  for (let n = 0; n < executors; n++) {
    const engine = new Batchwork({ storage: connect() });
    const pool = engine.pool({
      name: "bench",
      maxParallelism: executors * perExecutor,
      maxConcurrencyPerWorker: perExecutor,
      handlers: {
        slow: async ({ id }: { readonly id: number }) => {
          await sleep(SLOW_MS);
          deliveries.mark(id);
          return id;
        },
      },
    });
    await engine.start();
    opened.push({ engine, pool });
  }
  return opened;
}

async function run(
  executors: readonly Executor[],
  items: number,
  deliveries: Deliveries,
): Promise<void> {
  const [{ pool }] = executors as readonly [Executor];
  for (let from = 0; from < items; from += PER_CALL) {
    const count = Math.min(PER_CALL, items - from);
    await pool.enqueueBatch(
      "slow",
      Array.from({ length: count }, (_, n) => ({ id: from + n })),
    );
  }
  await deliveries.complete;
  while ((await pool.stats()).running > 0) await sleep(1);
}

async function close(executors: readonly Executor[]): Promise<void> {
  await Promise.all(executors.map(async ({ engine }) => engine.stop()));
}
