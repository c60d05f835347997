import { expect, test } from "vitest";
import { advance, advanceUntil, useVirtualTime } from "../stage.js";
import { components, internal } from "./app/_generated/api.js";
import { watched } from "./app/watched.js";
import { crash, events, isEmpty, stage } from "./fixture.js";
import { BatchProcessor } from "../../src/client/batch.js";

useVirtualTime();

const sizes = (): number[] => watched.batches.map(({ length }) => length);

test("250 items of one call become batches of 100, 100 and 50, at once and in order", async () => {
  const at = await stage();
  await at.add(events(250));
  await advance(100);
  expect(sizes()).toEqual([100, 100, 50]);
  expect(watched.done.flat()).toEqual(events(250).map(({ n }) => n));
  expect(await isEmpty(at)).toBe(true);
});

test("items that fill no batch are flushed when the first has waited the interval", async () => {
  const at = await stage();
  for (let i = 1; i <= 5; i++) {
    await at.add(events(1, i));
    await advance(100);
  }
  expect(sizes()).toEqual([]);
  await advance(600);
  expect(watched.done).toEqual([[1, 2, 3, 4, 5]]);
  expect(await isEmpty(at)).toBe(true);
});

test("many small adds fill a batch before its time, and none is lost", async () => {
  const at = await stage({ maxBatchSize: 10, flushIntervalMs: 3_600_000 });
  for (let i = 1; i <= 200; i++) await at.add(events(1, i));
  await advance(1000);
  expect(watched.done.length).toBeGreaterThan(10);
  expect(Math.max(...sizes())).toBe(10);
  await at.mutate((ctx) => at.processor.flush(ctx, "events"));
  await advance(1000);
  expect(watched.done.flat()).toEqual(events(200).map(({ n }) => n));
});

test("a flush by hand does not wait for the interval", async () => {
  const at = await stage();
  await at.add(events(3));
  const flushed = await at.mutate((ctx) => at.processor.flush(ctx, "events"));
  expect(flushed).toEqual({ batchId: "events", itemCount: 3, flushed: true, status: "flushing" });
  await advance(50);
  expect(watched.done).toEqual([[1, 2, 3]]);
  const again = await at.mutate((ctx) => at.processor.flush(ctx, "events"));
  expect(again).toMatchObject({ itemCount: 0, flushed: false });
  await expect(at.mutate((ctx) => at.processor.flush(ctx, "other"))).rejects.toThrow(
    /BATCH_UNKNOWN/v,
  );
});

test("an interval of 0 flushes by size and by hand only", async () => {
  const at = await stage({ flushIntervalMs: 0 });
  await at.add(events(5));
  await advance(3_600_000);
  expect(sizes()).toEqual([]);
  await at.mutate((ctx) => at.processor.flush(ctx, "events"));
  await advance(100);
  expect(sizes()).toEqual([5]);
});

test("the threshold is accepted without a maximum", async () => {
  const at = await stage({ maxBatchSize: 1000, immediateFlushThreshold: 10 });
  await at.add(events(30));
  await advance(100);
  expect(sizes()).toEqual([30]);
});

test("status and history say what waits, what runs and what was", async () => {
  const at = await stage();
  const status = (): Promise<unknown> =>
    at.t.query((ctx) => at.processor.getBatchStatus(ctx, "events"));
  expect(await status()).toBeNull();
  watched.ms = 500;
  await at.add(events(100));
  await advance(100);
  await at.add(events(3, 101));
  expect(await status()).toMatchObject({
    batchId: "events",
    batches: [
      { status: "flushing", itemCount: 100 },
      { status: "accumulating", itemCount: 3 },
    ],
    config: { maxBatchSize: 100, flushIntervalMs: 1000 },
  });
  await advance(5000);
  expect(await status()).toMatchObject({ batches: [] });
  const history = await at.t.query((ctx) => at.processor.getFlushHistory(ctx, "events"));
  expect(history).toMatchObject([
    { batchId: "events", itemCount: 3, success: true, durationMs: 500 },
    { batchId: "events", itemCount: 100, success: true, durationMs: 500 },
  ]);
});

test("a batch whose run died is found out within seconds, and runs again", async () => {
  const at = await stage();
  watched.hangs = 1;
  await at.add(events(100));
  await advance(100);
  await crash(at, "runners");
  await advance(5000);
  expect(watched.done).toEqual([events(100).map(({ n }) => n)]);
  const history = await at.t.query((ctx) => at.processor.getFlushHistory(ctx, "events"));
  expect(history).toMatchObject([{ success: true }, { success: false }]);
  expect(await isEmpty(at)).toBe(true);
});

test("a timer that the scheduler lost is replaced", async () => {
  const at = await stage();
  await at.add(events(3));
  await crash(at, "runners");
  await advance(5000);
  expect(watched.done).toEqual([[1, 2, 3]]);
});

test("a batch that failed comes again unchanged after 1, 2, 4 s, before what is newer", async () => {
  const at = await stage();
  watched.fails = 3;
  await at.add(events(3));
  await advance(1100);
  await at.add(events(100, 4));
  await advance(5000);
  expect(watched.batches).toEqual([
    [1, 2, 3],
    [1, 2, 3],
    [1, 2, 3],
  ]);
  await advance(5000);
  expect(watched.done).toEqual([[1, 2, 3], events(100, 4).map(({ n }) => n)]);
  const { batches } = (await at.t.query((ctx) => at.processor.getBatchStatus(ctx, "events"))) ?? {};
  expect(batches).toEqual([]);
});

test("with attempts used up, the poison item alone becomes a dead letter, and can be redriven", async () => {
  const at = await stage({ maxAttempts: 2 });
  watched.poison = 42;
  await at.add(events(100));
  await advance(60_000);
  expect(watched.done.flat().toSorted((a, b) => a - b)).toEqual(
    events(100)
      .map(({ n }) => n)
      .filter((n) => n !== 42),
  );
  const { dead: letters } = components.batch;
  const dead = (): Promise<unknown[]> =>
    at.t.query((ctx) => ctx.runQuery(letters.list, { batchId: "events" }));
  expect(await dead()).toMatchObject([{ item: { n: 42 }, error: "poison" }]);
  expect(await isEmpty(at)).toBe(true);
  watched.poison = null;
  await at.mutate((ctx) => ctx.runMutation(letters.redrive, { batchId: "events" }));
  await advance(1000);
  expect(watched.done.flat()).toContain(42);
  expect(await dead()).toEqual([]);
});

test("without a limit of attempts, no item is ever given up", async () => {
  const at = await stage();
  watched.fails = 50;
  await at.add(events(2));
  await advance(3_600_000);
  expect(watched.done).toEqual([[1, 2]]);
});

test("ids that contain :: are ids like any other", async () => {
  const at = await stage();
  await at.add(events(1), "t::1");
  await at.add(events(1, 2), "t::2");
  await at.add(events(1, 3), "t");
  await advance(2000);
  expect(watched.done.toSorted(([a = 0], [b = 0]) => a - b)).toEqual([[1], [2], [3]]);
});

test("a batch is deleted by its own id, and not while items wait", async () => {
  const at = await stage();
  const remove = (batchId: string): Promise<unknown> =>
    at.mutate((ctx) => at.processor.deleteBatch(ctx, batchId));
  expect(await remove("events")).toMatchObject({ deleted: false });
  await at.add(events(1));
  expect(await remove("events")).toMatchObject({ deleted: false });
  await advance(2000);
  expect(await remove("events")).toEqual({ deleted: true });
  for (const table of ["groups", "runners", "history"]) expect(await at.rows(table)).toEqual([]);
});

test("items of a megabyte are delivered in batches that an action can be called with", async () => {
  const at = await stage();
  for (let i = 0; i < 6; i++) await at.add([{ n: i, text: "x".repeat(990_000) }]);
  await advanceUntil(() => isEmpty(at));
  expect(watched.done.flat()).toEqual([0, 1, 2, 3, 4, 5]);
  expect(Math.max(...sizes())).toBeLessThanOrEqual(4);
  const large = at.add([{ n: 7, text: "x".repeat(1_000_001) }]);
  await expect(large).rejects.toThrow(/ITEM_TOO_LARGE/v);
});

test("a runner that works for long hands over, and nothing is delivered twice", async () => {
  const at = await stage();
  watched.ms = 25_000;
  await at.add(events(1000));
  await advanceUntil(() => isEmpty(at));
  expect(sizes()).toEqual(Array.from({ length: 10 }, () => 100));
  expect(watched.done.flat()).toEqual(events(1000).map(({ n }) => n));
});

test("nothing runs while nothing waits", async () => {
  const at = await stage();
  await at.add(events(3));
  await advance(2000);
  const history = await at.rows("history");
  await advance(24 * 3_600_000);
  expect(await at.rows("history")).toEqual(history);
  expect(await at.rows("runners")).toMatchObject([{ state: "asleep" }]);
});

test("wrong options are refused by their name", () => {
  const { processEventsBatch: processBatch } = internal.analytics;
  const make = (options: object): unknown =>
    new BatchProcessor(components.batch, { flushIntervalMs: 1, processBatch, ...options });
  expect(() => make({ maxBatchSize: 0 })).toThrow(/OPTION_INVALID.*maxBatchSize/v);
  expect(() => make({ flushIntervalMs: -1 })).toThrow(/OPTION_INVALID.*flushIntervalMs/v);
});
