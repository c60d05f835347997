import { expect, onTestFinished, test } from "vitest";

import { Batchwork } from "../../../src/runtime/engine.ts";
import { fromTable } from "../../../src/runtime/iterator-source.ts";
import type { JobStatus } from "../../../src/runtime/iterator-status.ts";
import type { TableIterator } from "../../../src/runtime/iterator.ts";
import { postgres, type PostgresTx } from "../../../src/storage/postgres/index.ts";
import { describePostgres, emptyTables, testDatabase } from "../../postgres/database.ts";

interface Row {
  readonly id: string;
  readonly v: number;
}

const { pool } = testDatabase();
const source = fromTable<Row>({ table: "rows", key: "id" });

async function setUp(count: number): Promise<Batchwork> {
  await emptyTables(pool);
  await pool.query(`DROP TABLE IF EXISTS rows;
    CREATE TABLE rows (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), v int NOT NULL DEFAULT 0);
    INSERT INTO rows SELECT FROM generate_series(1, ${String(count)})`);
  const storage = postgres({ pool, durability: "relaxed", notifications: false });
  const bw = new Batchwork({ storage, tickIntervalMs: 20 });
  onTestFinished(() => bw.stop({ graceMs: 0 }));
  return bw;
}

async function ended(iterator: TableIterator<Row>, jobId = "job"): Promise<JobStatus> {
  let status: JobStatus | null = null;
  await expect
    .poll(
      async () => {
        status = await iterator.status(jobId);
        return status?.status;
      },
      { timeout: 30_000 },
    )
    .toMatch(/completed|failed|cancelled/v);
  return status as unknown as JobStatus;
}

async function counts(): Promise<unknown> {
  const { rows } = await pool.query<{ v: number; count: number }>(
    "SELECT v, count(*)::int AS count FROM rows GROUP BY v ORDER BY v",
  );
  return rows.map(({ v, count }) => [v, count]);
}

describePostgres("an iterator over a table of PostgreSQL", () => {
  test("what a page writes through ctx.tx happens once, in partitions and with a proof", async () => {
    const bw = await setUp(1000);
    const reports: unknown[] = [];
    let added = 0;
    const iterator = bw.iterator<Row>({
      name: "rows",
      batchSize: 50,
      source,
      coverage: true,
      processBatch: async ({ items, tx }) => {
        await tx(async (db: PostgresTx) => {
          const ids = items.map(({ id }) => id);
          await db.query("UPDATE rows SET v = v + 1 WHERE id = ANY ($1)", [ids]);
        });
        // By chance before or behind the walk.
        if (added++ < 10) await pool.query("INSERT INTO rows DEFAULT VALUES");
      },
      onComplete: async ({ coverage, tx }) => {
        await tx(async (db: PostgresTx) => db.query("INSERT INTO rows (v) VALUES (1)"));
        reports.push(coverage?.proven);
      },
    });
    await bw.start();
    await iterator.start("job", { partitions: 3 });
    const { status, coverage, partitions, total } = await ended(iterator);
    expect(status).toBe("completed");
    expect(total).toBe(1000);
    expect(partitions).toHaveLength(3);
    expect(coverage).toMatchObject({ proven: true, atStart: 1000, missed: 0, repeated: 0 });
    expect(reports).toEqual([true]);
    // Some of those that were added may have come once the proof was past them.
    const processed = (await counts()) as [number, number][];
    expect(processed.filter(([v]) => v > 1)).toEqual([]);
    const once = processed.find(([v]) => v === 1)?.[1] ?? 0;
    expect(once).toBeGreaterThanOrEqual(1001);
  });

  test("an item that fails is handed over in the transaction of its page, dies and is redriven", async () => {
    const bw = await setUp(20);
    let broken = true;
    const bad = new Set<string>();
    const iterator = bw.iterator<Row>({
      name: "rows",
      batchSize: 10,
      maxRetries: 1,
      source,
      processBatch: async (ctx) => {
        if (!ctx.retried) bad.add(ctx.items[0]?.id ?? "");
        await ctx.tx(async (db: PostgresTx) => {
          const good: string[] = [];
          for (const [index, { id }] of ctx.items.entries()) {
            if (broken && bad.has(id)) ctx.fail(index, new RangeError("bad"));
            else good.push(id);
          }
          await db.query("UPDATE rows SET v = v + 1 WHERE id = ANY ($1)", [good]);
        });
      },
    });
    await bw.start();
    await iterator.start("job");
    const { status, deadCount } = await ended(iterator);
    expect({ status, deadCount }).toEqual({ status: "completed", deadCount: 2 });
    expect(await counts()).toEqual([
      [0, 2],
      [1, 18],
    ]);
    broken = false;
    await iterator.deadLetters.redrive("all");
    await expect.poll(counts, { timeout: 30_000 }).toEqual([[1, 20]]);
  });

  test("a dry run is rolled back, and counts what it would have changed", async () => {
    const bw = await setUp(25);
    const iterator = bw.iterator<Row>({
      name: "rows",
      batchSize: 10,
      source,
      processBatch: async ({ items, tx }) =>
        tx(async (db: PostgresTx) => {
          const ids = items.map(({ id }) => id);
          await db.query("UPDATE rows SET v = 1 WHERE id = ANY ($1)", [ids]);
          await db.query("DELETE FROM rows WHERE id = $1", [ids[0]]);
        }),
    });
    await bw.start();
    await iterator.start("job", { dryRun: true });
    const { status, wouldChange } = await ended(iterator);
    expect({ status, wouldChange }).toEqual({ status: "completed", wouldChange: 28 });
    expect(await counts()).toEqual([[0, 25]]);
  });

  test("cancelling during the last page rolls back what it wrote", async () => {
    const bw = await setUp(5);
    const { promise: cancelled, resolve } = Promise.withResolvers<void>();
    const iterator: TableIterator<Row> = bw.iterator<Row>({
      name: "rows",
      batchSize: 10,
      source,
      processBatch: async ({ tx }) =>
        tx(async (db: PostgresTx) => {
          await db.query("UPDATE rows SET v = 1");
          await iterator.cancel("job");
          resolve();
        }),
    });
    await bw.start();
    await iterator.start("job");
    await cancelled;
    expect(await ended(iterator)).toMatchObject({ status: "cancelled" });
    await bw.stop();
    expect(await counts()).toEqual([[0, 5]]);
  });
});
