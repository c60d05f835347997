import { describe, expect, test } from "vitest";

import type { CompletedJob } from "../../src/runtime/iterator-context.ts";
import { fromTable } from "../../src/runtime/iterator-source.ts";
import { Fixture, Hold, numbers, outcomeOf } from "./fixture.ts";
import { itemsOfPages, pageRecorder, statusOf } from "./iterator-fixture.ts";
import { define, INCREMENT, rowsIn, withRows, type Row } from "./iterator-rows.ts";

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
            const update = db.prepare("UPDATE rows SET v = v + 1 WHERE id = ?");
            for (const { id } of items) update.run(id);
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
    expect(partitions).toHaveLength(4);
    const states = new Set([status, ...partitions.map((one) => one.status)]);
    expect(states).toEqual(new Set(["paused"]));
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
