import { describe, expect, test } from "vitest";

import type { CompletedJob } from "../../src/runtime/iterator-context.ts";
import { fromTable } from "../../src/runtime/iterator-source.ts";
import type { IteratorOptions } from "../../src/runtime/iterator-options.ts";
import type { OpenTable, TableStorage } from "../../src/storage/tables.ts";
import type { Storage } from "../../src/storage/storage.ts";
import { Fixture, Hold, numbers, outcomeOf, type UserHandle } from "./fixture.ts";
import { itemsOfPages, pageRecorder, statusOf } from "./iterator-fixture.ts";

interface Row {
  readonly id: number;
  readonly v: number;
}

/** A table of `count` rows, with ids 10 apart, that counts how often each was processed. */
function withRows(f: Fixture, count: number): UserHandle {
  const database = f.handle();
  database.exec("CREATE TABLE rows (id INTEGER PRIMARY KEY, v INTEGER NOT NULL DEFAULT 0)");
  const insert = database.prepare("INSERT INTO rows (id) VALUES (?)");
  database.exec("BEGIN");
  for (let n = 1; n <= count; n++) insert.run(n * 10);
  database.exec("COMMIT");
  return database;
}

function rowsIn(database: UserHandle): Row[] {
  return database.prepare("SELECT id, v FROM rows ORDER BY id").all() as Row[];
}

/** Processes each row through `ctx.tx`, which notes it in the row. */
const INCREMENT: Pick<IteratorOptions<Row>, "processBatch"> = {
  processBatch: ({ items, tx }) =>
    tx((db) => {
      const update = db.prepare("UPDATE rows SET v = v + 1 WHERE id = ?");
      for (const { id } of items) update.run(id);
    }),
};

const source = fromTable<Row>({ table: "rows", key: "id" });
const define = { name: "rows", batchSize: 10, source, ...INCREMENT };

/** The storage with another way to open tables. */
function withTables(storage: Storage, tables: TableStorage): Storage {
  return new Proxy(storage, {
    get: (target, name) => {
      if (name === "tables") return tables;
      const value: unknown = Reflect.get(target, name, target);
      return typeof value === "function" ? (value.bind(target) as unknown) : value;
    },
  });
}

describe.each(["sqlite", "better-sqlite3"] as const)("a table on %s", (kind) => {
  test("what a page writes through ctx.tx happens once for every row", async () => {
    const f = new Fixture(kind);
    const database = withRows(f, 105);
    const { batch: iterator } = await f.started((bw) => bw.iterator<Row>(define));
    await f.run(iterator.start("job"));
    await f.advance(0);
    expect(new Set(rowsIn(database).map(({ v }) => v))).toEqual(new Set([1]));
    expect(await statusOf(f, iterator)).toMatchObject({
      status: "completed",
      processedCount: 105,
      pages: 11,
      total: 105,
      percent: 100,
    });
  });

  test("a page that throws inside ctx.tx has written nothing, and is written by the next attempt", async () => {
    const f = new Fixture(kind);
    const database = withRows(f, 20);
    let thrown = 0;
    const { batch: iterator } = await f.started((bw) =>
      bw.iterator<Row>({
        ...define,
        processBatch: async ({ items, tx }) =>
          tx((db) => {
            for (const { id } of items)
              db.prepare("UPDATE rows SET v = v + 1 WHERE id = ?").run(id);
            if (items[0]?.id === 110 && thrown++ < 2) throw new Error("at the last moment");
          }),
      }),
    );
    await f.run(iterator.start("job"));
    await f.advance(10_000);
    expect(thrown).toBe(3);
    expect(new Set(rowsIn(database).map(({ v }) => v))).toEqual(new Set([1]));
  });

  test("an item that fails inside ctx.tx is handed over in that very transaction", async () => {
    const f = new Fixture(kind);
    const database = withRows(f, 20);
    const seen: unknown[] = [];
    const { batch: iterator } = await f.started((bw) =>
      bw.iterator<Row>({
        ...define,
        processBatch: async (ctx) => {
          if (ctx.retried) seen.push(ctx.items);
          await ctx.tx((db) => {
            for (const [index, { id }] of ctx.items.entries()) {
              if (id === 50 && !ctx.retried) ctx.fail(index, new Error("fifty"));
              else db.prepare("UPDATE rows SET v = v + 1 WHERE id = ?").run(id);
            }
          });
        },
      }),
    );
    await f.run(iterator.start("job"));
    await f.advance(10_000);
    expect(seen).toEqual([[{ id: 50, v: 0 }]]);
    expect(new Set(rowsIn(database).map(({ v }) => v))).toEqual(new Set([1]));
    expect(await statusOf(f, iterator)).toMatchObject({ status: "completed" });
  });

  test("a dry run writes nothing, and counts what it would have changed", async () => {
    const f = new Fixture(kind);
    const database = withRows(f, 25);
    const results: unknown[] = [];
    const { batch: iterator } = await f.started((bw) =>
      bw.iterator<Row>({
        ...define,
        processBatch: async ({ items, tx }) => {
          const result = await tx((db) => {
            const update = db.prepare("UPDATE rows SET v = v + 1 WHERE id = ? AND id > 50");
            for (const { id } of items) update.run(id);
            return items.length;
          });
          results.push(result);
        },
      }),
    );
    await f.run(iterator.start("job", { dryRun: true }));
    await f.advance(0);
    expect(results).toEqual([10, 10, 5]);
    expect(new Set(rowsIn(database).map(({ v }) => v))).toEqual(new Set([0]));
    expect(await statusOf(f, iterator)).toMatchObject({
      status: "completed",
      dryRun: true,
      wouldChange: 20,
    });
  });

  test("an asynchronous function in ctx.tx is refused and rolled back, in a dry run as well", async () => {
    const f = new Fixture(kind);
    withRows(f, 1);
    const { batch: iterator } = await f.started((bw) =>
      bw.iterator<Row>({ ...define, maxRetries: 1, processBatch: ({ tx }) => tx(async () => 1) }),
    );
    for (const dryRun of [false, true]) {
      await f.run(iterator.start(`job-${String(dryRun)}`, { dryRun }));
      await f.advance(0);
      const { error } = await statusOf(f, iterator, `job-${String(dryRun)}`);
      expect(error?.code).toBe("TX_ASYNC");
    }
  });
});

describe("partitions", () => {
  test("are walked through side by side, and onComplete waits for all of them", async () => {
    const f = new Fixture("sqlite");
    withRows(f, 100);
    const hold = new Hold();
    const completed: CompletedJob[] = [];
    const { pages, processBatch } = pageRecorder<Row>(f, async ({ items }) => {
      if (items.some(({ id }) => id === 1000)) await hold.wait();
    });
    const { batch: iterator } = await f.started((bw) =>
      bw.iterator<Row>({
        ...define,
        concurrency: 4,
        processBatch,
        onComplete: (job) => void completed.push(job),
      }),
    );
    await f.run(iterator.start("job", { partitions: 4 }));
    await f.advance(5000);
    expect(completed).toEqual([]);
    const running = await statusOf(f, iterator);
    expect(running).toMatchObject({ status: "running", phase: "join", processedCount: 95 });
    expect(running.partitions.map(({ status }) => status)).toEqual([
      "completed",
      "completed",
      "completed",
      "running",
    ]);
    hold.releaseAll();
    await f.advance(5000);
    expect(
      itemsOfPages(pages)
        .map(({ id }) => id)
        .toSorted((a, b) => a - b),
    ).toEqual(numbers(100).map((n) => (n + 1) * 10));
    expect(completed).toMatchObject([{ jobId: "job", processedCount: 100 }]);
    expect(await statusOf(f, iterator)).toMatchObject({ status: "completed", percent: 100 });
    await f.run(iterator.delete("job"));
    await f.run(iterator.start("job", { partitions: 2 }));
    await f.advance(5000);
    expect(completed).toHaveLength(2);
  });

  test("pause, resume and cancel hold for every one of them", async () => {
    const f = new Fixture("sqlite");
    const database = withRows(f, 100);
    const { batch: iterator } = await f.started((bw) =>
      bw.iterator<Row>({ ...define, batchSize: 1, delayBetweenBatchesMs: 1000 }),
    );
    const done = (): number => rowsIn(database).filter(({ v }) => v === 1).length;
    await f.run(iterator.start("job", { partitions: 4 }));
    await f.advance(3000);
    await f.run(iterator.pause("job"));
    await f.advance(1000);
    const paused = done();
    expect(paused).toBeGreaterThan(4);
    await f.advance(60_000);
    expect(done()).toBe(paused);
    const { status, partitions } = await statusOf(f, iterator);
    expect([status, ...partitions.map((one) => one.status)]).toEqual(Array(5).fill("paused"));
    await f.run(iterator.resume("job"));
    await f.advance(3000);
    expect(done()).toBeGreaterThan(paused);
    await f.run(iterator.cancel("job"));
    const cancelled = done();
    await f.advance(60_000);
    expect(done()).toBe(cancelled);
    expect(rowsIn(database).every(({ v }) => v <= 1)).toBe(true);
  });

  test("one that fails fails the job, and resume has it go on", async () => {
    const f = new Fixture("sqlite");
    const database = withRows(f, 40);
    let broken = true;
    const { batch: iterator } = await f.started((bw) =>
      bw.iterator<Row>({
        ...define,
        maxRetries: 2,
        processBatch: (ctx) => {
          if (broken && ctx.items.some(({ id }) => id === 150)) throw new Error("no");
          return INCREMENT.processBatch(ctx);
        },
      }),
    );
    await f.run(iterator.start("job", { partitions: 4 }));
    await f.advance(10_000);
    expect(await statusOf(f, iterator)).toMatchObject({
      status: "failed",
      errorMessage: "Partition 1 failed: no",
    });
    broken = false;
    await f.run(iterator.resume("job"));
    await f.advance(5000);
    expect(await statusOf(f, iterator)).toMatchObject({ status: "completed" });
    expect(new Set(rowsIn(database).map(({ v }) => v))).toEqual(new Set([1]));
  });

  test("of a table with fewer rows are fewer", async () => {
    const f = new Fixture("sqlite");
    const database = withRows(f, 2);
    const { batch: iterator } = await f.started((bw) => bw.iterator<Row>(define));
    await f.run(iterator.start("job", { partitions: 100 }));
    await f.advance(5000);
    expect(await statusOf(f, iterator)).toMatchObject({ status: "completed" });
    expect(rowsIn(database).map(({ v }) => v)).toEqual([1, 1]);
    database.exec("DELETE FROM rows");
    await f.run(iterator.start("none", { partitions: 100 }));
    await f.advance(5000);
    expect(await statusOf(f, iterator, "none")).toMatchObject({ status: "completed" });
  });
});

describe("the proof of coverage", () => {
  const proving = { ...define, coverage: true };

  test("says that every row was visited, range by range, when nothing changed", async () => {
    const f = new Fixture("sqlite");
    withRows(f, 12_000);
    const { batch: iterator } = await f.started((bw) =>
      bw.iterator<Row>({ ...proving, batchSize: 1000 }),
    );
    await f.run(iterator.start("job"));
    await f.advance(0);
    const { coverage } = await statusOf(f, iterator);
    expect(coverage).toMatchObject({
      proven: true,
      atStart: 12_000,
      visited: 12_000,
      atEnd: 12_000,
      missed: 0,
      late: 0,
      repeated: 0,
    });
    expect(coverage?.ranges.map(({ atStart, visited, same }) => [atStart, visited, same])).toEqual([
      [5000, 5000, true],
      [5000, 5000, true],
      [2000, 2000, true],
    ]);
  });

  test.each([1, 3])(
    "takes up rows that came behind the walk, and stays true, with %i partitions",
    async (partitions) => {
      const f = new Fixture("sqlite");
      const database = withRows(f, 60);
      const changed = new Set<number>();
      const reports: unknown[] = [];
      const { batch: iterator } = await f.started((bw) =>
        bw.iterator<Row>({
          ...proving,
          processBatch: async (ctx) => {
            await INCREMENT.processBatch(ctx);
            // One comes behind, one ahead; one goes behind.
            const { id } = ctx.items[5] ?? { id: 0 };
            if (id === 0 || id % 10 !== 0 || changed.has(id)) return;
            changed.add(id);
            database.prepare("INSERT INTO rows (id) VALUES (?)").run(id - 5);
            database.prepare("INSERT INTO rows (id) VALUES (?)").run(id + 45);
            database.prepare("DELETE FROM rows WHERE id = ?").run(id - 10);
          },
          onComplete: ({ coverage }) => void reports.push(coverage?.proven),
        }),
      );
      await f.run(iterator.start("job", { partitions }));
      await f.advance(5000);
      expect(rowsIn(database).filter(({ v }) => v !== 1)).toEqual([]);
      const { coverage, status } = await statusOf(f, iterator);
      expect(status).toBe("completed");
      expect(coverage).toMatchObject({ proven: true, atStart: 60, missed: 0, repeated: 0 });
      expect(coverage?.late).toBeGreaterThanOrEqual(6);
      expect(coverage?.atEnd).toBe(rowsIn(database).length);
      expect(reports).toEqual([true]);
    },
  );

  test("reports rows that a faulty cursor skipped, and has them processed", async () => {
    const f = new Fixture("sqlite");
    const database = withRows(f, 100);
    const storage = f.connect();
    const { tables } = storage;
    const skipping: TableStorage = {
      changes: (tx) => tables?.changes(tx) ?? 0,
      open: async (query) => {
        const table = (await tables?.open(query)) as OpenTable;
        return {
          keys: async (range, limit) => table.keys(range, limit),
          count: async () => table.count(),
          cuts: async (ranges) => table.cuts(ranges),
          // The cursor is one row ahead of what is handed over.
          rows: async (range, limit) => {
            const page = await table.rows(range, limit);
            if (limit !== 10 || page.rows.length < 10 || page.rows[0]?.["id"] !== 310) return page;
            return { ...page, rows: page.rows.slice(0, -1), keys: () => page.keys().slice(0, -1) };
          },
        };
      },
    };
    const { batch: iterator } = await f.started((bw) => bw.iterator<Row>(proving), {
      storage: withTables(storage, skipping),
    });
    await f.run(iterator.start("job"));
    await f.advance(5000);
    const { coverage } = await statusOf(f, iterator);
    // A short page is taken for the last of its section, so all that follows is missed as well.
    expect(coverage?.proven).toBe(false);
    expect(coverage?.missed).toBeGreaterThanOrEqual(1);
    expect(new Set(rowsIn(database).map(({ v }) => v))).toEqual(new Set([1]));
  });

  test("of an empty table is true, and takes up what came meanwhile", async () => {
    const f = new Fixture("sqlite");
    const database = withRows(f, 0);
    const hold = new Hold();
    const { batch: iterator } = await f.started((bw) =>
      bw.iterator<Row>({
        ...proving,
        onComplete: async () => hold.wait(),
      }),
    );
    await f.run(iterator.start("job"));
    await f.advance(0);
    hold.releaseAll();
    await f.advance(0);
    expect((await statusOf(f, iterator)).coverage).toMatchObject({ proven: true, atEnd: 0 });
    expect(rowsIn(database)).toEqual([]);
  });

  test("goes on after its process died in the middle of it", async () => {
    const f = new Fixture("sqlite");
    const database = withRows(f, 300);
    let processes = 0;
    for (let round = 0; round < 40; round++) {
      const { process, batch: iterator } = await f.started(
        (bw) => bw.iterator<Row>({ ...proving, batchSize: 20, delayBetweenBatchesMs: 1000 }),
        { leaseMs: 1000, heartbeatMs: 300 },
      );
      if (round === 0) await f.run(iterator.start("job"));
      processes++;
      await f.advance(5500);
      const { status } = await statusOf(f, iterator);
      if (round < 20) database.prepare("INSERT INTO rows (id) VALUES (?)").run(1 + round);
      if (status === "completed") break;
      process.kill();
    }
    expect(processes).toBeGreaterThan(2);
    const { batch: iterator } = await f.started((bw) => bw.iterator<Row>(proving));
    const { coverage, status } = await statusOf(f, iterator);
    expect(status).toBe("completed");
    expect(coverage).toMatchObject({ proven: true, atStart: 300, visited: 300, missed: 0 });
    const atEnd = coverage?.atEnd ?? 0;
    expect(rowsIn(database).filter(({ v }) => v > 1)).toEqual([]);
    expect(rowsIn(database).filter(({ v }) => v === 1).length).toBeGreaterThanOrEqual(atEnd);
  });
});

test("a job on a table that cannot be walked through is refused at its start", async () => {
  const f = new Fixture("sqlite");
  withRows(f, 1).exec("CREATE TABLE loose (id INTEGER)");
  const loose = fromTable<Row>({ table: "loose", key: "id" });
  const { batch: iterator } = await f.started((bw) =>
    bw.iterator<Row>({ ...define, source: loose }),
  );
  expect(await f.run(outcomeOf(iterator.start("job")))).toBe("TABLE_INVALID");
  expect(await f.run(iterator.status("job"))).toBeNull();
});

test("memory storage has no tables to read", async () => {
  const f = new Fixture("memory");
  const { batch: iterator } = await f.started((bw) => bw.iterator<Row>(define));
  expect(await f.run(outcomeOf(iterator.start("job")))).toBe("TX_UNSUPPORTED");
});
