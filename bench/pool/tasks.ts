/**
 * Our pools: all tasks are enqueued while nothing runs, then all run, until the last is settled.
 * Handlers do nothing, at once.
 */
import { join } from "node:path";
import { Batchwork, type Completion, type Pool, type Storage } from "batchwork";
import { postgres } from "batchwork/postgres";
import { sqlite } from "batchwork/sqlite";
import type { RunCase } from "../harness/case.ts";
import { Deliveries } from "../harness/deliveries.ts";
import { items, slices, type Item } from "../harness/items.ts";
import { Meter } from "../harness/meter.ts";
import {
  durabilityOf,
  walCommits,
  watchConnections,
  weakestSynchronous,
} from "../harness/sqlite-facts.ts";
import { measured, type RunPostgres } from "../postgres/measured.ts";

export interface TaskOptions {
  /** Results are not kept at all. Default: for a day, as it ships. */
  readonly ttl?: 0;
  /** Handlers return their item (200 bytes), so that something is kept. Default: nothing is returned. */
  readonly returning?: true;
  /** Who is told that tasks ended: one call each, or one for many. Default: nobody. */
  readonly told?: "each" | "many";
  /** Tasks in a call, each call awaited before the next. Default 500. */
  readonly perCall?: number;
  /** Who calls at a time. Default 1. */
  readonly callers?: number;
}

type CountingPool = Pool<{ readonly count: (item: Item) => Promise<unknown> }>;

interface Opened {
  readonly engine: Batchwork;
  readonly pool: CountingPool;
  /** Resolves when everything that is to be told was told. */
  readonly told: Promise<void>;
}

/** Tasks at a time. What was fastest of 1,000 to 4,000: each claim and its settlement cost less. */
const PARALLELISM = 4000;

const PER_CALL = 500;

export function tasks(options: TaskOptions = {}): RunCase {
  return async ({ items: count, directory }) => {
    watchConnections();
    const path = join(directory, "batchwork.db");
    const deliveries = new Deliveries(count);
    const opened = open(sqlite({ path }), deliveries, count, options);
    // The first call creates the file; that is not what is measured.
    await opened.pool.stats();
    const all = items(count);
    const meter = await Meter.start({ items: count, commits: () => walCommits(path) });
    await work(opened, all, options, deliveries, (phase) => meter.phase(phase));
    const measurement = await meter.stop();
    const durability = durabilityOf(weakestSynchronous());
    await close(opened);
    deliveries.verify();
    return { ...measurement, durability };
  };
}

export function tasksOnPostgres(options: TaskOptions = {}): RunPostgres {
  return async (context) => {
    const { items: count, database } = context;
    const deliveries = new Deliveries(count);
    const storage = postgres({ connectionString: database });
    const opened = open(storage, deliveries, count, options);
    await opened.pool.stats();
    const all = items(count);
    const result = await measured(context, async (phase) =>
      work(opened, all, options, deliveries, phase),
    );
    await close(opened);
    deliveries.verify();
    return result;
  };
}

function open(
  storage: Storage,
  deliveries: Deliveries,
  count: number,
  { ttl, returning, told }: TaskOptions,
): Opened {
  const engine = new Batchwork({ storage });
  const completions = new Deliveries(told === undefined ? 0 : count);
  const tell = ({ result }: Completion): void => {
    if (result.kind === "success") completions.mark(result.returnValue as number);
  };
  const tellMany = (many: readonly Completion[]): void => {
    for (const one of many) tell(one);
  };
  const pool = engine.pool({
    name: "bench",
    maxParallelism: PARALLELISM,
    maxConcurrencyPerWorker: PARALLELISM,
    ...(ttl === undefined ? {} : { ttl }),
    ...(told === "each" ? { onComplete: tell } : {}),
    ...(told === "many" ? { onCompleteBatch: tellMany } : {}),
    handlers: {
      count: async (item: Item): Promise<unknown> => {
        deliveries.mark(item.id);
        if (returning === true) return item;
        return told === undefined ? undefined : item.id;
      },
    },
  });
  return { engine, pool, told: completions.complete };
}

async function work(
  { engine, pool, told }: Opened,
  all: readonly Item[],
  { callers = 1, perCall = PER_CALL }: TaskOptions,
  deliveries: Deliveries,
  phase: (name: string) => void,
): Promise<void> {
  const rest = all.values();
  const calls = slices(all, perCall);
  const caller = async (): Promise<void> => {
    if (perCall === 1) for (const item of rest) await pool.enqueue("count", item);
    else for (const call of calls) await pool.enqueueBatch("count", call);
  };
  await Promise.all(Array.from({ length: callers }, caller));
  phase("add");
  await engine.start();
  await deliveries.complete;
  await told;
  // What ended is settled when nothing runs.
  while ((await pool.stats()).running > 0) await nextTurn();
  phase("process");
}

/** Stops the engine, and throws when anything is left in the pool. */
async function close({ engine, pool }: Opened): Promise<void> {
  const { waiting, delayed, running, dead } = await pool.stats();
  await engine.stop();
  if (waiting + delayed + running + dead > 0) {
    throw new Error(`left behind: ${JSON.stringify({ waiting, delayed, running, dead })}`);
  }
}

async function nextTurn(): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  setImmediate(resolve);
  return promise;
}
