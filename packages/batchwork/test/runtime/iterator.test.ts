import { describe, expect, test } from "vitest";

import type { CompletedJob } from "../../src/runtime/iterator-context.ts";
import type { IteratorOptions } from "../../src/runtime/iterator-options.ts";
import { Fixture, Hold, numbers, outcomeOf, STORAGES } from "./fixture.ts";
import { itemsOfPages, pageRecorder, pagesOf, statusOf } from "./iterator-fixture.ts";

describe.each(STORAGES)("an iterator on %s storage", (kind) => {
  test("hands over every page once, in order, then calls onComplete once", async () => {
    const f = new Fixture(kind);
    const { pages, processBatch } = pageRecorder(f);
    const completed: CompletedJob[] = [];
    const { batch: iterator } = await f.started((bw) =>
      bw.iterator<number>({
        name: "numbers",
        batchSize: 4,
        getNextBatch: pagesOf(10),
        processBatch,
        onComplete: (job) => void completed.push(job),
      }),
    );
    await f.run(iterator.start("job"));
    await f.advance(0);
    expect(pages.map(({ items }) => items)).toEqual([
      [0, 1, 2, 3],
      [4, 5, 6, 7],
      [8, 9],
    ]);
    expect(completed).toMatchObject([{ jobId: "job", name: "numbers", processedCount: 10 }]);
    expect(await statusOf(f, iterator)).toMatchObject({
      jobId: "job",
      status: "completed",
      processedCount: 10,
      pages: 3,
      cursor: "9",
      error: null,
      waitsFor: null,
    });
    await f.advance(60_000);
    expect(pages).toHaveLength(3);
    expect(completed).toHaveLength(1);
  });

  test("a source that is empty is completed at once", async () => {
    const f = new Fixture(kind);
    const { pages, processBatch } = pageRecorder(f);
    const { batch: iterator } = await f.started((bw) =>
      bw.iterator<number>({
        name: "numbers",
        batchSize: 4,
        getNextBatch: () => ({ items: [], cursor: undefined, done: true }),
        processBatch,
      }),
    );
    await f.run(iterator.start("job"));
    await f.advance(0);
    expect(await statusOf(f, iterator)).toMatchObject({ status: "completed", processedCount: 0 });
    expect(pages).toEqual([]);
  });

  test("waits between pages", async () => {
    const f = new Fixture(kind);
    const { pages, processBatch } = pageRecorder(f);
    const { batch: iterator } = await f.started((bw) =>
      bw.iterator<number>({
        name: "numbers",
        batchSize: 1,
        delayBetweenBatchesMs: 1000,
        getNextBatch: pagesOf(3),
        processBatch,
      }),
    );
    await f.run(iterator.start("job"));
    await f.advance(0);
    expect(pages).toHaveLength(1);
    await f.advance(999);
    expect(pages).toHaveLength(1);
    await f.advance(10_000);
    const [first, second, third] = pages.map(({ at }) => at) as [number, number, number];
    expect(pages).toHaveLength(3);
    expect(second - first).toBeGreaterThanOrEqual(1000);
    expect(third - second).toBeGreaterThanOrEqual(1000);
  });

  test("starting the same id twice is an error, also once it has ended", async () => {
    const f = new Fixture(kind);
    const { pages, processBatch } = pageRecorder(f);
    const { batch: iterator } = await f.started((bw) =>
      bw.iterator<number>({ name: "n", batchSize: 9, getNextBatch: pagesOf(3), processBatch }),
    );
    await f.run(iterator.start("job"));
    expect(await f.run(outcomeOf(iterator.start("job")))).toBe("JOB_EXISTS");
    await f.advance(0);
    expect(await f.run(outcomeOf(iterator.start("job")))).toBe("JOB_EXISTS");
    await f.run(iterator.delete("job"));
    expect(await f.run(iterator.status("job"))).toBeNull();
    await f.run(iterator.start("job"));
    await f.advance(0);
    expect(pages).toHaveLength(2);
  });

  test("two starts at once make one job", async () => {
    const f = new Fixture(kind);
    const { pages, processBatch } = pageRecorder(f);
    const { batch: iterator } = await f.started((bw) =>
      bw.iterator<number>({ name: "n", batchSize: 9, getNextBatch: pagesOf(3), processBatch }),
    );
    const starts = [iterator.start("job"), iterator.start("job")].map(outcomeOf);
    expect(new Set(await f.run(Promise.all(starts)))).toEqual(new Set(["JOB_EXISTS", "fulfilled"]));
    await f.advance(0);
    expect(pages).toHaveLength(1);
  });

  test("ids with colons are ids of their own, and iterators have jobs of their own", async () => {
    const f = new Fixture(kind);
    const one = pageRecorder(f);
    const other = pageRecorder(f);
    const define = (
      name: string,
      count: number,
      { processBatch }: typeof one,
    ): IteratorOptions<number> => {
      return { name, batchSize: 9, getNextBatch: pagesOf(count), processBatch };
    };
    const { batch } = await f.started((bw) => ({
      one: bw.iterator<number>(define("orders", 1, one)),
      other: bw.iterator<number>(define("orders:eu", 2, other)),
    }));
    await f.run(batch.one.start("eu::job"));
    await f.run(batch.other.start("job"));
    await f.run(batch.one.start("job"));
    await f.advance(0);
    expect([one.pages.length, other.pages.length]).toEqual([2, 1]);
    expect((await f.run(batch.one.list())).map(({ jobId }) => jobId)).toEqual(["job", "eu::job"]);
    expect(await f.run(batch.other.status("eu::job"))).toBeNull();
  });

  test("a page that fails is tried again after 1 s, 2 s, 4 s, then the job has failed", async () => {
    const f = new Fixture(kind);
    let broken = true;
    const { pages, processBatch } = pageRecorder(f, ({ items }) => {
      if (broken && items.includes(4)) throw new RangeError("no fours");
    });
    const completed: CompletedJob[] = [];
    const { batch: iterator } = await f.started((bw) =>
      bw.iterator<number>({
        name: "numbers",
        batchSize: 4,
        maxRetries: 4,
        getNextBatch: pagesOf(10),
        processBatch,
        onComplete: (job) => void completed.push(job),
      }),
    );
    await f.run(iterator.start("job"));
    await f.advance(0);
    expect(await statusOf(f, iterator)).toMatchObject({
      status: "running",
      retryCount: 1,
      errorMessage: "no fours",
      processedCount: 4,
    });
    await f.advance(30_000);
    const failing = pages.filter(({ items }) => items.includes(4));
    expect(failing.map(({ attempt }) => attempt)).toEqual([1, 2, 3, 4]);
    const waits = failing.slice(1).map(({ at }, n) => Math.round(at - (failing[n]?.at ?? 0)));
    expect(waits).toEqual([1000, 2000, 4000]);
    const failed = await statusOf(f, iterator);
    expect(failed).toMatchObject({ status: "failed", errorMessage: "no fours", retryCount: 4 });
    expect(failed.error?.name).toBe("RangeError");
    expect(completed).toEqual([]);

    broken = false;
    await f.run(iterator.resume("job"));
    await f.advance(0);
    expect(await statusOf(f, iterator)).toMatchObject({
      status: "completed",
      processedCount: 10,
      error: null,
    });
    expect(completed).toHaveLength(1);
    const first = pages.filter(({ items }) => items.includes(0));
    expect(first).toHaveLength(1);
  });

  test("waits at most thirty seconds, however often a page fails", async () => {
    const f = new Fixture(kind);
    const { pages, processBatch } = pageRecorder(f, () => {
      throw new Error("never");
    });
    const { batch: iterator } = await f.started((bw) =>
      bw.iterator<number>({
        name: "numbers",
        batchSize: 4,
        maxRetries: 8,
        getNextBatch: pagesOf(1),
        processBatch,
      }),
    );
    await f.run(iterator.start("job"));
    await f.advance(300_000);
    const waits = pages.slice(1).map(({ at }, n) => Math.round(at - (pages[n]?.at ?? 0)));
    expect(waits).toEqual([1000, 2000, 4000, 8000, 16_000, 30_000, 30_000]);
    expect(await statusOf(f, iterator)).toMatchObject({ status: "failed" });
  });

  test("a failing getNextBatch counts as a failed attempt, and so does a cursor that stands", async () => {
    const f = new Fixture(kind);
    const { pages, processBatch } = pageRecorder(f);
    const { batch: iterator } = await f.started((bw) =>
      bw.iterator<number>({
        name: "numbers",
        batchSize: 4,
        maxRetries: 2,
        getNextBatch: ({ cursor }) => {
          if (cursor === "stands") return { items: [2], cursor: "stands", done: false };
          return { items: [1], cursor: "stands", done: false };
        },
        processBatch,
      }),
    );
    await f.run(iterator.start("job"));
    await f.advance(10_000);
    const { status, error } = await statusOf(f, iterator);
    expect({ status, code: error?.code }).toEqual({ status: "failed", code: "CURSOR_INVALID" });
    expect(itemsOfPages(pages)).toEqual([1]);
  });

  test("onComplete is called again until it succeeds, and then never again", async () => {
    const f = new Fixture(kind);
    const calls: number[] = [];
    const { pages, processBatch } = pageRecorder(f);
    const { batch: iterator } = await f.started((bw) =>
      bw.iterator<number>({
        name: "numbers",
        batchSize: 10,
        // One attempt at a page is all there is: of no concern to onComplete.
        maxRetries: 1,
        getNextBatch: pagesOf(6),
        processBatch,
        onComplete: () => {
          calls.push(f.clock.monotonicMs());
          if (calls.length < 4) throw new Error("not yet");
        },
      }),
    );
    await f.run(iterator.start("job"));
    await f.advance(0);
    expect(await statusOf(f, iterator)).toMatchObject({
      status: "running",
      phase: "complete",
      errorMessage: "not yet",
    });
    await f.advance(60_000);
    const waits = calls.slice(1).map((at, n) => Math.round(at - (calls[n] ?? 0)));
    expect(waits).toEqual([1000, 2000, 4000]);
    expect(await statusOf(f, iterator)).toMatchObject({ status: "completed", error: null });
    expect(pages).toHaveLength(1);
  });

  test("a page that was not noted when its process died runs again elsewhere, and only that", async () => {
    const f = new Fixture(kind);
    const hold = new Hold();
    let stuck = true;
    const { pages, processBatch } = pageRecorder(f, async ({ items }) => {
      if (stuck && items[0] === 2) await hold.wait();
    });
    const define = { name: "n", batchSize: 2, getNextBatch: pagesOf(6), processBatch };
    const { process, batch: iterator } = await f.started((bw) => bw.iterator<number>(define));
    await f.run(iterator.start("job"));
    await f.advance(0);
    expect(itemsOfPages(pages)).toEqual([0, 1, 2, 3]);
    stuck = false;
    process.kill();
    const { batch: successor } = await f.started((bw) => bw.iterator<number>(define));
    await f.advance(60_000);
    expect(itemsOfPages(pages)).toEqual([0, 1, 2, 3, 2, 3, 4, 5]);
    expect(await statusOf(f, successor)).toMatchObject({ status: "completed", processedCount: 6 });
  });

  test("a stopped engine ends its page and leaves the rest to others", async () => {
    const f = new Fixture(kind);
    const hold = new Hold();
    const { pages, processBatch } = pageRecorder(f, async () => hold.wait());
    const define = { name: "n", batchSize: 2, getNextBatch: pagesOf(6), processBatch };
    const { bw, batch: iterator } = await f.started((engine) => engine.iterator<number>(define));
    await f.run(iterator.start("job"));
    await f.advance(0);
    const stopping = bw.stop();
    await f.advance(0);
    hold.releaseAll();
    await f.runFor(1000, stopping);
    expect(pages).toHaveLength(1);
    await f.started((engine) => engine.iterator<number>(define));
    await f.advance(2000);
    expect(itemsOfPages(pages)).toEqual(numbers(6));
  });

  test("another batchSize in mid-run changes nothing but the size of pages", async () => {
    const f = new Fixture(kind);
    const { pages, processBatch } = pageRecorder(f);
    const define = {
      name: "n",
      delayBetweenBatchesMs: 1000,
      getNextBatch: pagesOf(12),
      processBatch,
    };
    const before = await f.started((bw) => bw.iterator<number>({ ...define, batchSize: 5 }));
    await f.run(before.batch.start("job"));
    await f.advance(0);
    await f.runFor(1000, before.bw.stop());
    await f.started((bw) => bw.iterator<number>({ ...define, batchSize: 3 }));
    await f.advance(10_000);
    expect(itemsOfPages(pages)).toEqual(numbers(12));
    const sizes = pages.map(({ items }) => items.length);
    expect(sizes[0]).toBe(5);
    expect(sizes.at(-2)).toBe(3);
  });
});
