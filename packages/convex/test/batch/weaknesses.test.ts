/**
 * What is known to go wrong in convex-batch-processor, each as a promise of ours. Those that other
 * files test under a title of their own are in accumulator.test.ts and iterator.test.ts.
 */
import { expect, test, vi } from "vitest";
import { BatchProcessor } from "../../src/client/batch.js";
import { advance, advanceUntil, useVirtualTime } from "../stage.js";
import { components, internal } from "./app/_generated/api.js";
import { watched } from "./app/watched.js";
import { crash, events, isEmpty, stage, type Event, type Stage } from "./fixture.js";

useVirtualTime();

const numbers = (count: number, from = 1): number[] => events(count, from).map(({ n }) => n);

async function users(at: Stage, count: number): Promise<void> {
  await at.t.run(async (ctx) => {
    for (let n = 1; n <= count; n++) await ctx.db.insert("users", { n });
  });
}

async function isOver(at: Stage): Promise<boolean> {
  const job = await at.t.query((ctx) => at.processor.getIteratorStatus(ctx, "job"));
  return job?.status === "completed" || job?.status === "failed";
}

/** Runs of the scheduler that were cancelled while they ran, or failed. */
async function unwell(at: Stage): Promise<unknown[]> {
  const runs = await at.t.run((ctx) => ctx.db.system.query("_scheduled_functions").collect());
  return runs.filter(({ state }) => state.kind === "failed");
}

test("a batch whose action never came back after a deploy is not stuck: it runs again", async () => {
  const at = await stage();
  watched.hangs = 1;
  await at.add(events(100));
  await advance(100);
  await crash(at, "runners");
  expect(await advanceUntil(() => isEmpty(at))).toBeLessThan(10_000);
  expect(watched.done).toEqual([numbers(100)]);
});

test.each(["before it begins", "in processBatch", "before it settles"])(
  "a runner that dies %s is replaced, and no item is lost",
  async (where) => {
    const at = await stage({ maxBatchSize: 3 });
    if (where === "in processBatch") watched.hangs = 1;
    if (where === "before it settles") watched.hangsAfter = 1;
    await at.add(events(7));
    if (where !== "before it begins") await advance(500);
    await crash(at, "runners");
    expect(await advanceUntil(() => isEmpty(at))).toBeLessThan(10_000);
    // At least once: what was done and not settled is done again, as the same batch.
    const batches = new Set(watched.done.map((batch) => batch.join(" ")));
    expect([...batches]).toEqual(["1 2 3", "4 5 6", "7"]);
  },
);

test("a flush by time that fails is retried: no timer cancels the run that it is in", async () => {
  const at = await stage({ flushIntervalMs: 1000 });
  watched.fails = 3;
  await at.add(events(3));
  await advanceUntil(() => isEmpty(at));
  expect(watched.batches).toHaveLength(4);
  expect(watched.done).toEqual([numbers(3)]);
  expect(await unwell(at)).toEqual([]);
});

test("what is added while a batch runs is flushed by its own time, without another add", async () => {
  const at = await stage();
  watched.ms = 5000;
  await at.add(events(2));
  await advance(1500);
  await at.add(events(2, 3));
  await advanceUntil(() => isEmpty(at));
  expect(watched.done).toEqual([
    [1, 2],
    [3, 4],
  ]);
});

test("the maximum is a maximum: ten single adds with a maximum of 3 are batches of 3 at most", async () => {
  const at = await stage({ maxBatchSize: 3 });
  for (let n = 1; n <= 10; n++) await at.add(events(1, n));
  await advanceUntil(() => isEmpty(at));
  expect(Math.max(...watched.batches.map(({ length }) => length))).toBe(3);
  expect(watched.done.flat()).toEqual(numbers(10));
});

test("a backlog of more than a transaction can read is flushed, counted and never stuck", async () => {
  const at = await stage({
    maxBatchSize: 100,
    flushIntervalMs: 0,
    immediateFlushThreshold: 1_000_000,
  });
  const text = "x".repeat(100_000);
  for (let n = 0; n < 200; n++) await at.add([{ n, text }]);
  const flushed = await at.mutate((ctx) => at.processor.flush(ctx, "events"));
  expect(flushed).toMatchObject({ itemCount: 200 });
  await advanceUntil(() => watched.done.flat().length === 200);
  await advance(1000);
  expect(watched.done.flat()).toEqual(numbers(200, 0));
  expect(await isEmpty(at)).toBe(true);
  // At most 4 MiB of arguments in one call.
  expect(Math.max(...watched.batches.map(({ length }) => length))).toBeLessThan(42);
});

test("a timer that is lost is set again, also where there is no interval", async () => {
  const at = await stage({ flushIntervalMs: 0, maxBatchSize: 2 });
  watched.fails = 1;
  await at.add(events(2));
  await advance(100);
  await crash(at, "runners");
  await advanceUntil(() => isEmpty(at));
  expect(watched.done).toEqual([[1, 2]]);
});

test("a poison item holds up the others only until its attempts are used up", async () => {
  const at = await stage({ maxAttempts: 2, maxBatchSize: 100 });
  watched.poison = 7;
  await at.add(events(100));
  expect(await advanceUntil(() => isEmpty(at))).toBeLessThan(60_000);
  expect(watched.done.flat()).toHaveLength(99);
  // Halving finds one of a hundred in about twice log2(100) calls, and one more for each attempt.
  expect(watched.batches.length).toBeLessThanOrEqual(2 + 2 * 7);
});

test("a batch id is deleted by the id that it was given", async () => {
  const at = await stage();
  await at.add(events(1), "a::b");
  await advance(2000);
  expect(await at.mutate((ctx) => at.processor.deleteBatch(ctx, "a::b"))).toEqual({
    deleted: true,
  });
  expect(await at.t.query((ctx) => at.processor.getBatchStatus(ctx, "a::b"))).toBeNull();
});

test("a batch id with many groups is deleted with all of them", async () => {
  const at = await stage({ groupBy: ({ n }) => `group ${1000 + n}` });
  await at.add(events(120));
  await advance(5000);
  expect(await at.rows("groups")).toHaveLength(120);
  await at.mutate((ctx) => at.processor.deleteBatch(ctx, "events"));
  await advance(1000);
  for (const table of ["groups", "runners", "history"]) expect(await at.rows(table)).toEqual([]);
});

test("ids that contain :: never share a batch", async () => {
  const at = await stage({ maxBatchSize: 2 });
  await at.add(events(1), "t1::x");
  await at.add(events(1, 2), "t1::y");
  await advance(100);
  expect(watched.batches).toEqual([]);
  await advance(2000);
  expect(watched.batches).toHaveLength(2);
});

test("items that come while a batch fails wait behind it, as one batch in the order of their adds", async () => {
  const at = await stage();
  watched.fails = 2;
  await at.add(events(2));
  await advance(1100);
  await at.add(events(1, 3));
  await at.add(events(1, 4));
  await advanceUntil(() => isEmpty(at));
  expect(watched.done).toEqual([
    [1, 2],
    [3, 4],
  ]);
});

test("six users, pause and resume while a page runs: six are processed and it completes once", async () => {
  const at = await stage();
  watched.ms = 300;
  await users(at, 6);
  await at.iterate(2);
  for (const ms of [100, 250, 400]) {
    await advance(ms);
    await at.mutate((ctx) => at.processor.pauseIterator(ctx, "job"));
    await at.mutate((ctx) => at.processor.resumeIterator(ctx, "job"));
  }
  await advanceUntil(() => isOver(at));
  await advance(60_000);
  expect(watched.batches.flat()).toEqual(numbers(6));
  expect(await at.t.run((ctx) => ctx.db.query("completed").collect())).toHaveLength(1);
});

test("an onComplete that fails with one attempt allowed leaves the job completed, and is retried", async () => {
  const at = await stage();
  watched.completeFails = 1;
  await users(at, 2);
  await at.iterate(10, 1);
  await advanceUntil(() => isOver(at));
  await advance(5000);
  const job = await at.t.query((ctx) => at.processor.getIteratorStatus(ctx, "job"));
  expect(job).toMatchObject({ status: "completed", processedCount: 2 });
  expect(await at.t.run((ctx) => ctx.db.query("completed").collect())).toHaveLength(1);
});

test.each(["before its query", "in processBatch", "before its checkpoint"])(
  "a page that dies %s runs again, and no row is skipped",
  async (where) => {
    const at = await stage();
    if (where === "in processBatch") watched.hangs = 1;
    if (where === "before its checkpoint") watched.hangsAfter = 1;
    await users(at, 5);
    await at.iterate(2);
    await advance(where === "before its query" ? 0 : 500);
    await crash(at, "jobs");
    await advanceUntil(() => isOver(at));
    expect([...new Set(watched.done.flat())]).toEqual(numbers(5));
    const job = await at.t.query((ctx) => at.processor.getIteratorStatus(ctx, "job"));
    expect(job).toMatchObject({ status: "completed", processedCount: 5 });
  },
);

test("a group that is never idle takes over what a deploy declares within about a minute", async () => {
  const at = await stage({ flushIntervalMs: 5000 });
  const { processEventsBatch: processBatch } = internal.analytics;
  await at.add(events(1));
  await advance(4000);
  const deployed = new BatchProcessor<Event>(components.batch, {
    flushIntervalMs: 100,
    processBatch,
  });
  for (let n = 2; n <= 40; n++) {
    await at.mutate((ctx) => deployed.addItems(ctx, "events", events(1, n)));
    await advance(2000);
  }
  expect(await at.rows("groups")).toMatchObject([{ config: { flushIntervalMs: 100 } }]);
});

test("a clock that jumps back by an hour stops nothing", async () => {
  const at = await stage();
  await at.add(events(3));
  vi.setSystemTime(Date.now() - 3_600_000);
  await at.add(events(3, 4));
  await at.mutate((ctx) => at.processor.flush(ctx, "events"));
  await advanceUntil(() => isEmpty(at));
  expect(watched.done.flat()).toEqual(numbers(6));
});

test("an item is in exactly one batch wherever a batch ends within a commit", async () => {
  for (let size = 1; size <= 7; size++) {
    const at = await stage({ maxBatchSize: size, flushIntervalMs: 100 });
    // Several rows of one commit share its timestamp.
    await at.mutate(async (ctx) => {
      for (let n = 1; n <= 7; n++) await at.processor.addItems(ctx, "events", events(1, n));
    });
    await at.mutate(async (ctx) => {
      for (let n = 8; n <= 14; n += 2) await at.processor.addItems(ctx, "events", events(2, n));
    });
    await advanceUntil(() => isEmpty(at));
    expect(watched.done.flat(), `batches of ${size}`).toEqual(numbers(15));
  }
});

test("ten thousand items arrive once each and in order", async () => {
  const at = await stage({ maxBatchSize: 500 });
  for (let call = 0; call < 20; call++) await at.add(events(500, 500 * call + 1));
  await advanceUntil(() => isEmpty(at));
  expect(watched.done.flat()).toEqual(numbers(10_000));
  expect(watched.batches.every(({ length }) => length === 500)).toBe(true);
});

test("an iterator goes over ten thousand rows, each of them once", async () => {
  const at = await stage();
  await users(at, 10_000);
  await at.iterate(1000);
  await advanceUntil(() => isOver(at));
  expect(watched.done.flat()).toEqual(numbers(10_000));
}, 60_000);
