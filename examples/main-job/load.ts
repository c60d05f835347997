/** The pipeline: a producer with a stored position, a queue, and a handler that writes a table. */
import { setImmediate, setTimeout } from "node:timers/promises";
import { Batchwork } from "batchwork";
import type { Batch, DeadLetter } from "batchwork";
import type { Database, OpenDatabase } from "./database.ts";
import { printFound } from "./report.ts";
import { showProgress } from "./progress.ts";
import { source } from "./source.ts";
import type { City } from "./source.ts";

/** Cities that the producer adds in one transaction. */
const PAGE_SIZE = 1000;
/** The producer waits while this many cities wait, so the database stays small. */
const WAITING_MAX = 20_000;
/** The country whose batches all fail the first time. */
const FLAKY_COUNTRY = "BR";

/** What this process did. The table itself says what was loaded, by this process or an earlier one. */
export interface Tally {
  cities: number;
  batches: number;
  retries: number;
  splits: number;
  redelivered: number;
}

export interface Loaded {
  readonly tally: Tally;
  readonly seconds: number;
  /** Cities that an earlier process had loaded. */
  readonly before: number;
  readonly perCountry: ReadonlyMap<string, number>;
  readonly distinct: number;
  readonly letters: readonly DeadLetter<City>[];
}

/** Loads all that is not loaded yet. With `dieAfter`, the process kills itself after that many. */
export async function load(open: OpenDatabase, dieAfter = Infinity): Promise<Loaded> {
  const startedAt = performance.now();
  const db = await open();
  const before = await db.countCities();
  const tally: Tally = { cities: 0, batches: 0, retries: 0, splits: 0, redelivered: 0 };

  // A short lease, so that what a killed process had in hand is taken over soon.
  const bw = new Batchwork({
    storage: db.storage,
    leaseMs: 2000,
    heartbeatMs: 500,
  });
  /** Batches that a killed process left unfinished. They come again: same id, same cities. */
  const unfinished = new Set<string>();

  const cities = bw.batch<City>({
    name: "load-cities",
    maxSize: 500,
    maxWaitMs: 250,
    groupBy: (city) => city.country,
    retries: { max: 2, strategy: "exponential", baseDelay: 100 },
    onFailure: "bisect",
    handler: async (ctx) => {
      if (ctx.attempt > 1) tally.retries++;
      if (unfinished.delete(ctx.id)) tally.redelivered += ctx.batchSize;
      if (ctx.groupKey === FLAKY_COUNTRY && ctx.attempt === 1) {
        // No item is to blame, so all of them fail: the batch is retried whole, not split.
        const error = new Error(`the registry of ${ctx.groupKey} does not answer`);
        for (const index of ctx.batch.keys()) ctx.fail(index, error);
        return;
      }
      try {
        // The rows and the acknowledgement of the batch commit together, or neither does.
        await db.insert(ctx, () => {
          if (tally.cities + ctx.batchSize > dieAfter) process.kill(process.pid, "SIGKILL");
        });
      } catch (error) {
        if (ctx.batchSize > 1) tally.splits++;
        throw error;
      }
      tally.cities += ctx.batchSize;
      tally.batches++;
    },
  });

  const found = await cities.status();
  for (const { batchId } of found.running) unfinished.add(batchId);
  if (before > 0) printFound(before, found, await db.position());
  const progress = showProgress(tally, before, () => cities.status());
  await bw.start();
  await produce(db, cities);
  await cities.drain();
  const letters = await cities.deadLetters.list();
  await progress.stop();
  await bw.stop();
  const seconds = (performance.now() - startedAt) / 1000;
  const [perCountry, distinct] = [await db.countPerCountry(), await db.countDistinct()];
  await db.close();
  return { tally, seconds, before, perCountry, distinct, letters };
}

/** Adds the source from the stored position on. */
async function produce(db: Database, cities: Batch<City>): Promise<void> {
  let at = await db.position();
  while (at < source.length) {
    const page = source.slice(at, at + PAGE_SIZE);
    at += page.length;
    await db.addPage(cities, page, at);
    await setImmediate();
    while ((await cities.getBufferSize()) > WAITING_MAX) await setTimeout(5);
  }
}
