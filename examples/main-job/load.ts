/** The pipeline: a producer with a stored position, a queue, and a handler that writes a table. */
import { DatabaseSync } from "node:sqlite";
import { setImmediate, setTimeout } from "node:timers/promises";
import { Batchwork } from "batchwork";
import type { DeadLetter } from "batchwork";
import { sqlite } from "batchwork/sqlite";
import { printFound } from "./report.ts";
import { showProgress } from "./progress.ts";
import { source } from "./source.ts";
import type { City } from "./source.ts";

/** Cities that the producer adds in one transaction. */
const PAGE_SIZE = 1000;
/** The producer waits while this many cities wait, so the file stays small. */
const WAITING_MAX = 20_000;
/** The country whose batches all fail the first time. */
const FLAKY_COUNTRY = "BR";

/**
 * No key is unique, so a city that were loaded twice would be there twice. One name in the source is
 * longer than this table takes: the poison record.
 */
const TABLES = `
  CREATE TABLE IF NOT EXISTS cities (
    id INTEGER NOT NULL,
    name TEXT NOT NULL CHECK (length(name) <= 60),
    country TEXT NOT NULL,
    population INTEGER NOT NULL,
    longitude REAL NOT NULL,
    latitude REAL NOT NULL
  );
  CREATE TABLE IF NOT EXISTS producer (position INTEGER NOT NULL);
  INSERT INTO producer SELECT 0 WHERE NOT EXISTS (SELECT 1 FROM producer);
`;

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
  /** Cities that an earlier process had loaded into this file. */
  readonly before: number;
  readonly perCountry: ReadonlyMap<string, number>;
  readonly distinct: number;
  readonly letters: readonly DeadLetter<City>[];
}

/** Loads all that is not loaded yet. With `dieAfter`, the process kills itself after that many. */
export async function load(options: { path: string; dieAfter?: number }): Promise<Loaded> {
  const startedAt = performance.now();
  const db = new DatabaseSync(options.path);
  db.exec(TABLES);
  const before = countCities(db);
  const tally: Tally = { cities: 0, batches: 0, retries: 0, splits: 0, redelivered: 0 };

  // A short lease, so that what a killed process had in hand is taken over soon.
  const bw = new Batchwork({
    storage: sqlite({ database: db }),
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
        await ctx.tx((tx) => {
          const insert = tx.prepare("INSERT INTO cities VALUES (?, ?, ?, ?, ?, ?)");
          for (const { cityId, name, country, population, loc } of ctx.batch) {
            insert.run(cityId, name, country, population, ...loc.coordinates);
          }
          if (tally.cities + ctx.batchSize > (options.dieAfter ?? Infinity)) {
            process.kill(process.pid, "SIGKILL");
          }
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
  if (before > 0) printFound(before, found, positionOf(db));
  const progress = showProgress(tally, before, () => cities.status());
  await bw.start();
  await produce(db, cities);
  await cities.drain();
  const letters = await cities.deadLetters.list();
  await progress.stop();
  await bw.stop();
  const seconds = (performance.now() - startedAt) / 1000;
  return {
    tally,
    seconds,
    before,
    perCountry: countPerCountry(db),
    distinct: distinct(db),
    letters,
  };
}

/** What the producer needs of the queue. */
interface CityQueue {
  addBulkSync(page: readonly City[], options: { tx: DatabaseSync }): unknown;
  getBufferSize(): Promise<number>;
}

/**
 * Adds the source from the stored position on. A page and the position after it commit together, so
 * a producer that was killed goes on exactly where its last commit ended.
 */
async function produce(db: DatabaseSync, cities: CityQueue): Promise<void> {
  const moveTo = db.prepare("UPDATE producer SET position = ?");
  let at = positionOf(db);
  while (at < source.length) {
    const page = source.slice(at, at + PAGE_SIZE);
    db.exec("BEGIN IMMEDIATE");
    try {
      cities.addBulkSync(page, { tx: db });
      moveTo.run(at + page.length);
      db.exec("COMMIT");
    } catch (error) {
      db.exec("ROLLBACK");
      throw error;
    }
    at += page.length;
    await setImmediate();
    while ((await cities.getBufferSize()) > WAITING_MAX) await setTimeout(5);
  }
}

function positionOf(db: DatabaseSync): number {
  return Number(db.prepare("SELECT position FROM producer").get()?.["position"]);
}

function countCities(db: DatabaseSync): number {
  return Number(db.prepare("SELECT count(*) AS n FROM cities").get()?.["n"]);
}

function distinct(db: DatabaseSync): number {
  return Number(db.prepare("SELECT count(DISTINCT id) AS n FROM cities").get()?.["n"]);
}

function countPerCountry(db: DatabaseSync): Map<string, number> {
  const rows = db.prepare("SELECT country, count(*) AS n FROM cities GROUP BY country").all();
  return new Map(rows.map((row) => [String(row["country"]), Number(row["n"])]));
}
