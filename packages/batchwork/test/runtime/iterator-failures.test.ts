import { describe, expect, test } from "vitest";

import { Fixture, forever, numbers, outcomeOf, STORAGES } from "./fixture.ts";
import { itemsOfPages, pageRecorder, pagesOf, statusOf } from "./iterator-fixture.ts";

describe.each(STORAGES)("an iterator on %s storage", (kind) => {
  test("an item that is named fails alone: the others are done, and it is tried apart", async () => {
    const f = new Fixture(kind);
    let left = 2;
    const { pages, processBatch } = pageRecorder(f, (ctx) => {
      const index = ctx.items.indexOf(5);
      if (index !== -1 && left-- > 0) ctx.fail(index, new RangeError("five"));
    });
    const done: number[] = [];
    const { batch: iterator } = await f.started((bw) =>
      bw.iterator<number>({
        name: "numbers",
        batchSize: 4,
        getNextBatch: pagesOf(10),
        processBatch,
        onComplete: ({ processedCount, deadCount }) => void done.push(processedCount, deadCount),
      }),
    );
    await f.run(iterator.start("job"));
    await f.advance(0);
    // The walk is through, and the job waits for what is tried apart.
    expect(itemsOfPages(pages)).toEqual(numbers(10));
    expect(await statusOf(f, iterator)).toMatchObject({
      status: "running",
      phase: "settle",
      processedCount: 10,
      retryingCount: 1,
    });
    expect(done).toEqual([]);
    await f.advance(10_000);
    const apart = pages.slice(3);
    expect(apart.map(({ items, retried, attempt }) => ({ items, retried, attempt }))).toEqual([
      { items: [5], retried: true, attempt: 2 },
      { items: [5], retried: true, attempt: 3 },
    ]);
    expect(done).toEqual([10, 0]);
    expect(await statusOf(f, iterator)).toMatchObject({ status: "completed", retryingCount: 0 });
  });

  test("an item out of attempts is a dead letter, the job completes, and it can be redriven", async () => {
    const f = new Fixture(kind);
    let broken = true;
    const { pages, processBatch } = pageRecorder(f, (ctx) => {
      const index = ctx.items.indexOf(5);
      if (index !== -1 && broken) ctx.fail(index, new RangeError("five"));
    });
    const told: unknown[] = [];
    const { batch: iterator } = await f.started((bw) =>
      bw.iterator<number>({
        name: "numbers",
        batchSize: 4,
        maxRetries: 3,
        getNextBatch: pagesOf(10),
        processBatch,
        onDead: ({ items }, error) => void told.push(items, error.message),
      }),
    );
    await f.run(iterator.start("job"));
    await f.advance(60_000);
    expect(pages.filter(({ items }) => items.includes(5))).toHaveLength(3);
    expect(await statusOf(f, iterator)).toMatchObject({
      status: "completed",
      processedCount: 10,
      deadCount: 1,
    });
    const letters = await f.run(iterator.deadLetters.list({ group: "job" }));
    expect(letters).toMatchObject([{ item: 5, groupKey: "job", error: { message: "five" } }]);
    expect(told).toEqual([[5], "five"]);

    broken = false;
    expect(await f.run(iterator.deadLetters.redrive("all"))).toBe(1);
    await f.advance(1000);
    expect(pages.at(-1)).toMatchObject({ items: [5], retried: true });
    expect(await f.run(iterator.deadLetters.list())).toEqual([]);
    expect(await statusOf(f, iterator)).toMatchObject({ deadCount: 0 });
  });

  test("with bisect, a page that throws is halved until the bad item is alone", async () => {
    const f = new Fixture(kind);
    const { pages, processBatch } = pageRecorder(f, ({ items }) => {
      if (items.includes(37)) throw new RangeError("thirty-seven");
    });
    const { batch: iterator } = await f.started((bw) =>
      bw.iterator<number>({
        name: "numbers",
        batchSize: 64,
        maxRetries: 2,
        onFailure: "bisect",
        getNextBatch: pagesOf(200),
        processBatch,
      }),
    );
    await f.run(iterator.start("job"));
    await f.advance(0);
    // At once, and without a wait.
    const good = pages.filter(({ items }) => !items.includes(37));
    expect(itemsOfPages(good)).toEqual(numbers(200).filter((n) => n !== 37));
    expect(pages.length).toBeLessThan(2 * Math.log2(64) + 6);
    await f.advance(60_000);
    expect(await statusOf(f, iterator)).toMatchObject({
      status: "completed",
      processedCount: 200,
      deadCount: 1,
    });
    const letters = await f.run(iterator.deadLetters.list());
    expect(letters.map(({ item }) => item)).toEqual([37]);
  });

  test("when nothing but bad items come, each has the job wait longer", async () => {
    const f = new Fixture(kind);
    const { pages, processBatch } = pageRecorder(f, () => {
      throw new Error("the database is down");
    });
    const { batch: iterator } = await f.started((bw) =>
      bw.iterator<number>({
        name: "numbers",
        batchSize: 1,
        onFailure: "bisect",
        getNextBatch: pagesOf(100),
        processBatch,
      }),
    );
    await f.run(iterator.start("job"));
    await f.advance(600_000);
    const walked = pages.filter(({ retried }) => !retried);
    // 4 at once, then 1, 2, 4, 8 and 16 s, and 30 s from there on.
    expect(walked.length).toBeLessThan(32);
    expect(walked.length).toBeGreaterThan(20);
    expect(await statusOf(f, iterator)).toMatchObject({ status: "running" });
  });

  test("waits while the health check says no, and says why", async () => {
    const f = new Fixture(kind);
    let health: boolean | string = "the replica is 12 s behind";
    const { pages, processBatch } = pageRecorder(f);
    const { batch: iterator } = await f.started((bw) =>
      bw.iterator<number>({
        name: "numbers",
        batchSize: 4,
        getNextBatch: pagesOf(10),
        processBatch,
        healthCheck: () => health,
        healthCheckMs: 5000,
      }),
    );
    await f.run(iterator.start("job"));
    await f.advance(60_000);
    expect(pages).toEqual([]);
    expect(await statusOf(f, iterator)).toMatchObject({
      status: "running",
      waitsFor: "the replica is 12 s behind",
    });
    health = false;
    await f.advance(10_000);
    expect(await statusOf(f, iterator)).toMatchObject({ waitsFor: "healthCheck said no" });
    health = true;
    await f.advance(6000);
    expect(itemsOfPages(pages)).toEqual(numbers(10));
    expect(await statusOf(f, iterator)).toMatchObject({ status: "completed", waitsFor: null });
  });

  test("a page that takes longer than the timeout has failed, and its signal aborts", async () => {
    const f = new Fixture(kind);
    const reasons: unknown[] = [];
    const { processBatch } = pageRecorder(f, async ({ signal }) => {
      signal.addEventListener("abort", () => void reasons.push(signal.reason));
      await forever();
    });
    const { batch: iterator } = await f.started((bw) =>
      bw.iterator<number>({
        name: "numbers",
        batchSize: 4,
        maxRetries: 2,
        timeout: 500,
        getNextBatch: pagesOf(10),
        processBatch,
      }),
    );
    await f.run(iterator.start("job"));
    await f.advance(10_000);
    expect(reasons).toMatchObject([{ code: "HANDLER_TIMEOUT" }, { code: "HANDLER_TIMEOUT" }]);
    const { status, error } = await statusOf(f, iterator);
    expect({ status, code: error?.code }).toEqual({ status: "failed", code: "HANDLER_TIMEOUT" });
  });

  test("pages grow towards the target and halve when they take too long", async () => {
    const f = new Fixture(kind);
    let perItemMs = 1;
    const { pages, processBatch } = pageRecorder(f, async ({ items }) => {
      const { promise, resolve } = Promise.withResolvers<void>();
      f.clock.after(items.length * perItemMs, resolve);
      await promise;
    });
    const { batch: iterator } = await f.started((bw) =>
      bw.iterator<number>({
        name: "numbers",
        batchSize: 100,
        minBatchSize: 10,
        targetMs: 50,
        getNextBatch: pagesOf(1_000_000),
        processBatch,
      }),
    );
    await f.run(iterator.start("job"));
    await f.advance(5000);
    const sizes = pages.map(({ items }) => items.length);
    expect(sizes[0]).toBe(10);
    expect(Math.max(...sizes)).toBe(50);
    for (let n = 1; n < sizes.length; n++) {
      const [before, after] = [sizes[n - 1] ?? 0, sizes[n] ?? 0];
      expect(after).toBeLessThanOrEqual(Math.max(before + 1, before * 1.1));
    }
    perItemMs = 4;
    await f.advance(1000);
    const slow = pages.slice(sizes.length).map(({ items }) => items.length);
    expect(slow).toContain(25);
    expect(Math.min(...slow)).toBeGreaterThanOrEqual(10);
    await f.run(iterator.cancel("job"));
  });

  test("says how far it is, how fast, and how long it will take", async () => {
    const f = new Fixture(kind);
    const { processBatch } = pageRecorder(f);
    const { batch: iterator } = await f.started((bw) =>
      bw.iterator<number>({
        name: "numbers",
        batchSize: 10,
        delayBetweenBatchesMs: 1000,
        getNextBatch: pagesOf(1000),
        processBatch,
      }),
    );
    await f.run(iterator.start("job", { total: 1000 }));
    await f.advance(50_000);
    const status = await statusOf(f, iterator);
    expect(status.total).toBe(1000);
    expect(status.percent).toBe(status.processedCount / 10);
    expect(status.processedCount).toBeGreaterThan(400);
    expect(status.ratePerSecond).toBeGreaterThan(9);
    expect(status.ratePerSecond).toBeLessThanOrEqual(10);
    const left = 1000 - status.processedCount;
    expect(status.etaMs).toBeGreaterThanOrEqual(left * 100);
    expect(status.etaMs).toBeLessThan(left * 112);
    await f.run(iterator.cancel("job"));
  });

  test("a dry run processes pages, retries nothing apart, and completes without onComplete", async () => {
    const f = new Fixture(kind);
    const seen: boolean[] = [];
    const completed: unknown[] = [];
    const { pages, processBatch } = pageRecorder(f, (ctx) => {
      seen.push(ctx.dryRun);
      if (ctx.items.includes(5)) ctx.fail(ctx.items.indexOf(5), new Error("five"));
    });
    const { batch: iterator } = await f.started((bw) =>
      bw.iterator<number>({
        name: "numbers",
        batchSize: 4,
        getNextBatch: pagesOf(10),
        processBatch,
        onComplete: (job) => void completed.push(job),
      }),
    );
    await f.run(iterator.start("job", { dryRun: true }));
    await f.advance(60_000);
    expect(seen).toEqual([true, true, true]);
    expect(itemsOfPages(pages)).toEqual(numbers(10));
    expect(completed).toEqual([]);
    expect(await statusOf(f, iterator)).toMatchObject({ status: "completed", dryRun: true });
    expect(await f.run(iterator.deadLetters.list())).toEqual([]);
  });

  test("items of a cancelled job that are tried apart are let go", async () => {
    const f = new Fixture(kind);
    const { pages, processBatch } = pageRecorder(f, (ctx) => ctx.fail(0, new Error("no")));
    const { batch: iterator } = await f.started((bw) =>
      bw.iterator<number>({ name: "n", batchSize: 1, getNextBatch: pagesOf(2), processBatch }),
    );
    await f.run(iterator.start("job"));
    await f.advance(0);
    const before = pages.length;
    await f.run(iterator.cancel("job"));
    await f.advance(60_000);
    expect(pages).toHaveLength(before);
    expect(await statusOf(f, iterator)).toMatchObject({ status: "cancelled", retryingCount: 0 });
  });

  test("verdicts on items that are not there, or too late, are refused", async () => {
    const f = new Fixture(kind);
    const outcomes: unknown[] = [];
    const { processBatch } = pageRecorder(f, async (ctx) => {
      const fail = (index: number): Promise<unknown> =>
        outcomeOf(Promise.resolve().then(() => ctx.fail(index, new Error("no"))));
      outcomes.push(await fail(1), await fail(-1), await fail(0.5));
      await ctx.tx(() => undefined);
      outcomes.push(await fail(0), await outcomeOf(ctx.tx(() => undefined)));
      throw new Error("too late");
    });
    const { process, batch: iterator } = await f.started((bw) =>
      bw.iterator<number>({ name: "n", batchSize: 1, getNextBatch: pagesOf(1), processBatch }),
    );
    await f.run(iterator.start("job"));
    await f.advance(0);
    const refused = "OPTION_INVALID";
    expect(outcomes).toEqual([refused, refused, refused, "TX_OVER", "TX_OVER"]);
    expect(await statusOf(f, iterator)).toMatchObject({ status: "completed" });
    expect(process.logged("warn").join(" ")).toContain("after tx had committed");
  });
});

test("a name is taken once in an engine", () => {
  const f = new Fixture("memory");
  const { bw } = f.process();
  const define = { name: "n", batchSize: 1, getNextBatch: pagesOf(1), processBatch: () => 1 };
  bw.iterator<number>(define);
  expect(() => bw.iterator<number>(define)).toThrow("already defined");
});
