import { describe, expect, test } from "vitest";

import type { CompletedJob } from "../../src/runtime/iterator-context.ts";
import { Fixture, Hold, numbers, outcomeOf, STORAGES } from "./fixture.ts";
import { itemsOfPages, pageRecorder, pagesOf, statusOf } from "./iterator-fixture.ts";

describe.each(STORAGES)("the control of an iterator on %s storage:", (kind) => {
  test("pause and resume in the middle of a page make one chain, not two", async () => {
    const f = new Fixture(kind);
    const hold = new Hold();
    const { pages, processBatch } = pageRecorder(f, async () => hold.wait());
    const completed: CompletedJob[] = [];
    const { batch: iterator } = await f.started((bw) =>
      bw.iterator<number>({
        name: "numbers",
        batchSize: 1,
        getNextBatch: pagesOf(6),
        processBatch,
        onComplete: (job) => void completed.push(job),
      }),
    );
    await f.run(iterator.start("job"));
    await f.advance(0);
    for (let n = 0; n < 3; n++) {
      await f.run(iterator.pause("job"));
      await f.run(iterator.resume("job"));
      await f.advance(5000);
    }
    expect(pages).toHaveLength(1);
    hold.releaseAll();
    await f.advance(5000);
    expect(itemsOfPages(pages)).toEqual(numbers(6));
    expect(completed).toHaveLength(1);
  });

  test("a paused job ends its page, does no other, and goes on where it stopped", async () => {
    const f = new Fixture(kind);
    const hold = new Hold();
    const { pages, processBatch } = pageRecorder(f, async () => hold.wait());
    const { batch: iterator } = await f.started((bw) =>
      bw.iterator<number>({ name: "n", batchSize: 2, getNextBatch: pagesOf(6), processBatch }),
    );
    await f.run(iterator.start("job"));
    await f.advance(0);
    await f.run(iterator.pause("job"));
    await f.run(iterator.pause("job"));
    hold.releaseAll();
    await f.advance(60_000);
    expect(await statusOf(f, iterator)).toMatchObject({ status: "paused", processedCount: 2 });
    expect(pages).toHaveLength(1);
    await f.run(iterator.resume("job"));
    await f.advance(0);
    expect(itemsOfPages(pages)).toEqual(numbers(6));
    expect(await statusOf(f, iterator)).toMatchObject({ status: "completed" });
  });

  test("cancelling during the last page ends cancelled, and onComplete is not called", async () => {
    const f = new Fixture(kind);
    const hold = new Hold();
    const signals: AbortSignal[] = [];
    const { processBatch } = pageRecorder(f, async ({ signal }) => {
      signals.push(signal);
      await hold.wait();
    });
    const completed: CompletedJob[] = [];
    const { batch: iterator } = await f.started((bw) =>
      bw.iterator<number>({
        name: "numbers",
        batchSize: 10,
        getNextBatch: pagesOf(6),
        processBatch,
        onComplete: (job) => void completed.push(job),
      }),
    );
    await f.run(iterator.start("job"));
    await f.advance(0);
    await f.run(iterator.cancel("job"));
    hold.releaseAll();
    await f.advance(60_000);
    expect(await statusOf(f, iterator)).toMatchObject({ status: "cancelled", processedCount: 0 });
    expect(completed).toEqual([]);
    expect(await f.run(outcomeOf(iterator.resume("job")))).toBe("JOB_STATE");
    expect(await f.run(outcomeOf(iterator.pause("job")))).toBe("JOB_STATE");
  });

  test("lists jobs, the latest first, by state and up to a limit", async () => {
    const f = new Fixture(kind);
    const { processBatch } = pageRecorder(f, ({ jobId }) => {
      if (jobId === "bad") throw new Error("no");
    });
    const { bw } = f.process();
    const iterator = bw.iterator<number>({
      name: "n",
      batchSize: 9,
      maxRetries: 1,
      getNextBatch: pagesOf(1),
      processBatch,
    });
    const ids = async (query: Parameters<typeof iterator.list>[0]): Promise<string[]> =>
      (await f.run(iterator.list(query))).map(({ jobId }) => jobId);
    for (const jobId of ["a", "bad", "b"]) await f.run(iterator.start(jobId));
    expect(await ids({ status: "pending" })).toEqual(["b", "bad", "a"]);
    expect(await ids({ status: "running" })).toEqual([]);
    await f.run(bw.start());
    await f.advance(0);
    expect(await ids({})).toEqual(["b", "bad", "a"]);
    expect(await ids({ limit: 2 })).toEqual(["b", "bad"]);
    expect(await ids({ status: "completed", limit: 1 })).toEqual(["b"]);
    expect(await ids({ status: "failed" })).toEqual(["bad"]);
    expect(await ids({ status: "cancelled" })).toEqual([]);
    expect(await f.run(outcomeOf(iterator.list({ limit: 0 })))).toBe("OPTION_INVALID");
  });

  test("what cannot be done says why", async () => {
    const f = new Fixture(kind);
    const hold = new Hold();
    const { processBatch } = pageRecorder(f, async () => hold.wait());
    const { batch: iterator } = await f.started((bw) =>
      bw.iterator<number>({ name: "n", batchSize: 9, getNextBatch: pagesOf(1), processBatch }),
    );
    for (const what of ["pause", "resume", "cancel", "delete"] as const) {
      expect(await f.run(outcomeOf(iterator[what]("job")))).toBe("NOT_FOUND");
    }
    expect(await f.run(outcomeOf(iterator.start("a/b")))).toBe("OPTION_INVALID");
    await f.run(iterator.start("job"));
    await f.advance(0);
    expect(await f.run(outcomeOf(iterator.delete("job")))).toBe("JOB_STATE");
    hold.releaseAll();
    await f.advance(0);
    for (const what of ["pause", "resume", "cancel"] as const) {
      expect(await f.run(outcomeOf(iterator[what]("job")))).toBe("JOB_STATE");
    }
    await f.run(iterator.delete("job"));
    expect(await f.run(iterator.list())).toEqual([]);
  });
});
