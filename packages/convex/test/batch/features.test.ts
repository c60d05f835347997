/** What the accumulator can do beyond collecting and flushing. */
import { expect, test, vi } from "vitest";
import type { BatchConfig, BatchOverride } from "../../src/client/batch.js";
import { BatchProcessor } from "../../src/client/batch.js";
import { advance, advanceUntil, useVirtualTime } from "../stage.js";
import { components, internal } from "./app/_generated/api.js";
import { watched } from "./app/watched.js";
import { events, isEmpty, stage, type Event, type Stage } from "./fixture.js";

useVirtualTime();

const DAY = 24 * 3_600_000;

/** Events of a group. */
const of = (text: string, count: number, from = 1): Event[] =>
  events(count, from).map((event) => ({ ...event, text }));

const byText = { groupBy: ({ text = "" }: Event) => text };

const numbers = (count: number, from = 1): number[] => events(count, from).map(({ n }) => n);

const sorted = (batches: number[][]): number[] => batches.flat().toSorted((a, b) => a - b);

type Config = Partial<BatchConfig<Event>>;

const explained = (at: Stage, key?: string): ReturnType<BatchProcessor["explain"]> =>
  at.t.query((ctx) => at.processor.explain(ctx, "events", key));

const letters = (at: Stage): ReturnType<BatchProcessor<Event>["deadLetters"]> =>
  at.t.query((ctx) => at.processor.deadLetters(ctx, "events"));

const update = (at: Stage, options: BatchOverride): Promise<void> =>
  at.mutate((ctx) => at.processor.update(ctx, "events", options));

test("groups fill and are flushed apart from each other, each in its own order", async () => {
  const at = await stage({ maxBatchSize: 10, ...byText });
  await at.add([...of("a", 4), ...of("b", 10, 101), ...of("a", 3, 5)]);
  await advance(100);
  expect(watched.done).toEqual([numbers(10, 101)]);
  await advance(2000);
  expect(watched.done).toEqual([numbers(10, 101), numbers(7)]);
  expect(await isEmpty(at)).toBe(true);
});

test("a group that fails, or works for long, keeps no other one waiting", async () => {
  const at = await stage({ maxBatchSize: 5, ...byText });
  watched.poison = 1;
  await at.add(of("broken", 50));
  await advance(100);
  await at.add(of("fine", 5, 101));
  await advance(100);
  expect(watched.done).toEqual([numbers(5, 101)]);
  const status = await at.t.query((ctx) => at.processor.getBatchStatus(ctx, "events"));
  expect(status?.batches).toMatchObject([
    { groupKey: "broken", status: "accumulating", itemCount: 5 },
    { groupKey: "broken", status: "accumulating", itemCount: 45 },
  ]);
});

test("a flush by hand takes one group, or all of them, however many", async () => {
  const at = await stage({ flushIntervalMs: 0, ...byText });
  const groups = Array.from({ length: 120 }, (_, i) => `group ${1000 + i}`);
  await at.add(groups.flatMap((text, i) => of(text, 1, i)));
  await at.mutate((ctx) => at.processor.flush(ctx, "events", "group 1007"));
  await advance(100);
  expect(watched.done).toEqual([[7]]);
  await at.mutate((ctx) => at.processor.flush(ctx, "events"));
  await advance(1000);
  expect(sorted(watched.done)).toEqual(numbers(120, 0));
});

test("a group in which nothing waits is forgotten after a day, and made anew when needed", async () => {
  const at = await stage(byText);
  await at.add(of("a", 1));
  await advance(2000);
  expect(await at.rows("groups")).toMatchObject([{ groupKey: "a", state: "idle" }]);
  await advance(2 * DAY);
  expect(await at.rows("groups")).toEqual([]);
  expect(await at.rows("runners")).toEqual([]);
  await at.add(of("a", 1, 2));
  await advance(2000);
  expect(watched.done).toEqual([[1], [2]]);
  const history = await at.t.query((ctx) => at.processor.getFlushHistory(ctx, "events"));
  expect(history).toMatchObject([{ groupKey: "a" }, { groupKey: "a" }]);
});

test("an item whose key waits is left out, and the key is free once its item is flushed", async () => {
  const at = await stage({ deduplicateBy: ({ text }) => text });
  const add = (items: Event[]): Promise<{ duplicates?: number }> =>
    at.mutate((ctx) => at.processor.addItems(ctx, "events", items));
  expect(await add([...of("a", 2), ...events(2, 3)])).toMatchObject({
    itemCount: 4,
    duplicates: 1,
  });
  expect(await add(of("a", 1, 5))).toMatchObject({ itemCount: 1, duplicates: 1 });
  await advance(2000);
  expect(watched.done).toEqual([[1, 3, 4]]);
  expect(await at.rows("keys")).toEqual([]);
  expect(await add(of("a", 1, 6))).not.toHaveProperty("duplicates");
  await advance(2000);
  expect(watched.done).toEqual([[1, 3, 4], [6]]);
});

test("a key can stay taken for a time after its item was flushed", async () => {
  const at = await stage({ deduplicateBy: ({ text }) => text, deduplicateFor: 60_000 });
  await at.add(of("a", 1));
  await advance(30_000);
  await at.add(of("a", 1, 2));
  await advance(40_000);
  await at.add(of("a", 1, 3));
  await advance(2000);
  expect(watched.done).toEqual([[1], [3]]);
  await advance(DAY);
  expect(await at.rows("keys")).toEqual([]);
});

test("a key that stays taken for days survives its group being idle", async () => {
  const at = await stage({ deduplicateBy: () => "key", deduplicateFor: 3 * DAY, ...byText });
  await at.add(of("a", 1));
  await advance(2 * DAY);
  await at.add(of("a", 1, 2));
  await advance(2000);
  expect(watched.done).toEqual([[1]]);
});

test("items that are said to have failed come again alone, and all others are done", async () => {
  const at = await stage({ maxBatchSize: 10 });
  watched.rejected = [2, 3, 9];
  await at.add(events(10));
  await advance(100);
  expect(watched.done).toEqual([[1, 4, 5, 6, 7, 8, 10]]);
  watched.rejected = [];
  await advance(5000);
  expect(watched.batches).toEqual([numbers(10), [2, 3, 9]]);
  const history = await at.t.query((ctx) => at.processor.getFlushHistory(ctx, "events"));
  expect(history).toMatchObject([
    { itemCount: 3, success: true },
    { itemCount: 10, success: false, errorMessage: "3 of 10 items failed: rejected" },
  ]);
  expect(await isEmpty(at)).toBe(true);
});

test("items that keep failing are dead letters when their attempts are used up", async () => {
  const at = await stage({ maxBatchSize: 10, maxAttempts: 3, ...byText });
  watched.rejected = [3, 10];
  await at.add([...of("a", 10), ...of("a", 2, 11)]);
  await advanceUntil(() => isEmpty(at));
  expect(watched.batches).toEqual([numbers(10), [3, 10], [3, 10], [11, 12]]);
  expect(await letters(at)).toMatchObject([
    { item: { n: 3 }, error: "rejected", groupKey: "a" },
    { item: { n: 10 }, error: "rejected", groupKey: "a" },
  ]);
});

test("dead letters are redriven to their groups by id, or discarded", async () => {
  const at = await stage({ maxBatchSize: 10, maxAttempts: 1, ...byText });
  watched.rejected = [1, 2, 3];
  await at.add(of("a", 3));
  await advance(1000);
  const [first, second] = await letters(at);
  const mutate = (name: "redrive" | "discard", ids?: string[]): unknown =>
    at.mutate((ctx) => at.processor[name](ctx, "events", ids === undefined ? {} : { ids }));
  expect(await mutate("discard", [first?.id ?? ""])).toBe(1);
  watched.rejected = [];
  // Its group was forgotten meanwhile.
  await advance(3 * DAY);
  expect(await at.rows("groups")).toEqual([]);
  expect(await mutate("redrive", [second?.id ?? ""])).toBe(1);
  await advance(1000);
  expect(watched.done).toEqual([[], [2]]);
  expect(await at.rows("groups")).toMatchObject([{ groupKey: "a" }]);
  expect(await letters(at)).toMatchObject([{ item: { n: 3 } }]);
  expect(await mutate("redrive", ["no id"])).toBe(0);
});

test("dead letters of a megabyte are read and redriven a few at a time", async () => {
  const at = await stage({ maxAttempts: 1 });
  watched.rejected = numbers(8, 0);
  for (let n = 0; n < 8; n++) await at.add([{ n, text: "x".repeat(990_000) }]);
  await advanceUntil(() => isEmpty(at));
  expect((await letters(at)).length).toBeLessThan(8);
  watched.rejected = [];
  let redriven = 0;
  for (let call = 0; call < 4; call++) {
    redriven += await at.mutate((ctx) => at.processor.redrive(ctx, "events"));
    await advance(5000);
  }
  expect(redriven).toBe(8);
  expect(sorted(watched.done)).toEqual(numbers(8, 0));
});

test("the throttle lets so many flushes begin in any span, and no more", async () => {
  const at = await stage({ maxBatchSize: 10, throttle: { max: 2, duration: 5000 } });
  await at.add(events(50));
  await advance(4900);
  expect(watched.batches).toHaveLength(2);
  expect(await explained(at)).toMatchObject({ waitsFor: "throttle", waiting: 30 });
  await advance(5000);
  expect(watched.batches).toHaveLength(4);
  await advanceUntil(() => isEmpty(at));
  expect(watched.done.flat()).toEqual(numbers(50));
});

test("the delays after failed attempts are as declared", async () => {
  const at = await stage({ maxBatchSize: 3, backoff: { baseDelay: 60_000, maxDelay: 90_000 } });
  watched.fails = 3;
  await at.add(events(3));
  const begun = [100, 59_000, 2000, 88_000, 3000, 87_000, 3000];
  const attempts: number[] = [];
  for (const ms of begun) {
    await advance(ms);
    attempts.push(watched.batches.length);
  }
  expect(attempts).toEqual([1, 1, 2, 2, 3, 3, 4]);
  expect(watched.done).toEqual([numbers(3)]);
});

test("a paused batch takes items and flushes none until it is resumed, new groups too", async () => {
  const at = await stage({ maxBatchSize: 5, ...byText });
  await at.add(of("a", 1));
  await advance(2000);
  await at.mutate((ctx) => at.processor.pause(ctx, "events"));
  await at.add([...of("a", 5, 2), ...of("b", 5, 101)]);
  await advance(60_000);
  expect(watched.done).toEqual([[1]]);
  expect(await explained(at, "b")).toMatchObject({ waitsFor: "paused", nextFlushAt: null });
  const flushed = at.mutate((ctx) => at.processor.flush(ctx, "events"));
  await expect(flushed).rejects.toThrow(/PAUSED/v);
  await at.mutate((ctx) => at.processor.resume(ctx, "events"));
  await advance(1000);
  expect(sorted(watched.done)).toEqual([...numbers(6), ...numbers(5, 101)]);
});

test("a batch that is paused while it runs is settled, and the next one waits", async () => {
  const at = await stage({ maxBatchSize: 5 });
  watched.ms = 500;
  await at.add(events(10));
  await advance(100);
  await at.mutate((ctx) => at.processor.pause(ctx, "events"));
  await advance(60_000);
  expect(watched.batches).toEqual([numbers(5)]);
  await at.mutate((ctx) => at.processor.resume(ctx, "events"));
  await advanceUntil(() => isEmpty(at));
  expect(watched.batches).toEqual([numbers(5), numbers(5, 6)]);
});

test("an override wins over what code declares, at once and for new groups, until taken back", async () => {
  const at = await stage({ flushIntervalMs: DAY, ...byText });
  await at.add(of("a", 3));
  await update(at, { flushIntervalMs: 500, maxBatchSize: 2 });
  await advance(1000);
  expect(watched.done).toEqual([[1, 2], [3]]);
  await at.add(of("b", 1, 4));
  await advance(1000);
  expect(watched.done).toHaveLength(3);
  await update(at, { flushIntervalMs: null });
  await at.add(of("c", 1, 5));
  await advance(60_000);
  expect(watched.done).toHaveLength(3);
  await at.add(of("c", 2, 6));
  await advance(1000);
  // The maximum, which is a threshold too, was not taken back.
  expect(watched.done.slice(3)).toEqual([[5, 6], [7]]);
  await expect(update(at, { throttle: { max: 0, duration: 1 } })).rejects.toThrow(/throttle\.max/v);
});

test("another declaration in code is taken over by the call that wakes a group", async () => {
  const at = await stage();
  await at.add(events(1));
  await advance(2000);
  const { processEventsBatch: processBatch } = internal.analytics;
  const other = new BatchProcessor<Event>(components.batch, {
    flushIntervalMs: 9000,
    processBatch,
  });
  await at.mutate((ctx) => other.addItems(ctx, "events", events(1, 2)));
  await advance(5000);
  expect(watched.done).toEqual([[1]]);
  await advance(5000);
  expect(watched.done).toEqual([[1], [2]]);
});

test("while a group is awake, two declarations rewrite it once a minute at most", async () => {
  const at = await stage({ flushIntervalMs: DAY });
  const { processEventsBatch: processBatch } = internal.analytics;
  const other = new BatchProcessor<Event>(components.batch, {
    flushIntervalMs: 9000,
    processBatch,
  });
  await at.add(events(1));
  const declaredAt = async (): Promise<unknown> => (await at.rows("groups"))[0]?.["declaredAt"];
  const before = await declaredAt();
  for (let i = 0; i < 10; i++) {
    await at.mutate((ctx) => other.addItems(ctx, "events", events(1, 2)));
    await at.add(events(1));
  }
  expect(await declaredAt()).toBe(before);
});

test("it can be asked why something is not flushed yet", async () => {
  const at = await stage({ maxBatchSize: 5 });
  expect(await explained(at)).toMatchObject({ waitsFor: "nothing", waiting: 0 });
  await at.add(events(2));
  const now = Date.now();
  expect(await explained(at)).toMatchObject({ waitsFor: "size or time", nextFlushAt: now + 1000 });
  watched.fails = 1;
  watched.ms = 100;
  await advance(1050);
  expect(await explained(at)).toMatchObject({ waitsFor: "its handler", waiting: 2 });
  await advance(100);
  const failed = await explained(at);
  expect(failed).toMatchObject({ waitsFor: "backoff", attempts: 1 });
  expect(failed.text).toMatch(/^2 items wait: a batch failed.*failed attempts so far: 1/v);
  await advance(5000);
  await update(at, { flushIntervalMs: 0 });
  await at.add(events(1, 3));
  expect(await explained(at)).toMatchObject({ waitsFor: "size or flush", nextFlushAt: null });
});

test("batch ids and their groups are listed with what they do", async () => {
  const at = await stage(byText);
  await at.add([...of("a", 1), ...of("b", 1)]);
  await at.add(events(1), "other");
  await advance(2000);
  await at.add(of("a", 1));
  await at.mutate((ctx) => at.processor.pause(ctx, "other"));
  const list = (batchId?: string): Promise<unknown[]> =>
    at.t.query((ctx) => at.processor.listBatches(ctx, batchId === undefined ? {} : { batchId }));
  expect(await list("events")).toEqual([
    { batchId: "events", groupKey: "a", state: "awake" },
    { batchId: "events", groupKey: "b", state: "idle" },
  ]);
  expect(await list()).toContainEqual({ batchId: "other", groupKey: "", state: "paused" });
});

test("history and dead letters are deleted when they have outlived their time", async () => {
  const config: Config = { maxAttempts: 1, historyTtl: 3 * DAY, deadLetterTtl: DAY };
  const at = await stage(config);
  watched.rejected = [1];
  await at.add(events(2));
  await advance(2000);
  expect(await letters(at)).toHaveLength(1);
  await advance(1.5 * DAY);
  expect(await letters(at)).toEqual([]);
  expect(await at.rows("history")).toHaveLength(1);
  await advance(3 * DAY);
  expect(await at.rows("history")).toEqual([]);
  // Nothing is left that will expire.
  expect(await at.rows("sweeps")).toEqual([]);
});

test("the history of a group never holds more than its latest thousand flushes", async () => {
  const at = await stage();
  await at.add(events(1));
  await advance(2000);
  await at.inside(async (ctx) => {
    const [runner] = await ctx.db.query("runners").collect();
    const [entry] = await ctx.db.query("history").collect();
    const row = { ...(entry as Record<string, unknown>), _id: undefined, _creationTime: undefined };
    for (let n = 1; n < 1000; n++) await ctx.db.insert("history", { ...row, entry: n } as never);
    await ctx.db.patch(runner?.["_id"] as never, { entries: 1000 } as never);
  });
  await at.add(events(1));
  await advance(2000);
  const rows = await at.rows("history");
  expect(rows).toHaveLength(1000);
  expect(rows.map(({ entry }) => entry)).not.toContain(0);
});

test("a group that is busy reports once a minute", async () => {
  const at = await stage({ maxBatchSize: 1 });
  const info = vi.spyOn(console, "info").mockReturnValue();
  watched.ms = 10_000;
  await at.add(events(20));
  await advance(185_000);
  const lines = info.mock.calls
    .map(([line]) => String(line))
    .filter((line) => line.includes("batch.report"));
  info.mockRestore();
  expect(lines).toHaveLength(2);
  expect(JSON.parse(lines[0] ?? "")).toMatchObject({ batchId: "events", flushes: 6 });
});

test("options of every feature are refused by their name when they are wrong", () => {
  const { processEventsBatch: processBatch } = internal.analytics;
  const make = (options: object): unknown =>
    new BatchProcessor(components.batch, { flushIntervalMs: 1, processBatch, ...options });
  expect(() => make({ throttle: { max: 1, duration: 0 } })).toThrow(/throttle\.duration/v);
  expect(() => make({ backoff: { baseDelay: -1, maxDelay: 1 } })).toThrow(/backoff\.baseDelay/v);
  expect(() => make({ deduplicateFor: 0.5 })).toThrow(/deduplicateFor/v);
  const both = { maxBatchSize: 1001, deduplicateBy: () => "key" };
  expect(() => make(both)).toThrow(/at most 1000 with deduplicateBy/v);
});
