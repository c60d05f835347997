/** The snippets of the systems that are replaced run, with the changes that they show. */
import type { TestConvex } from "convex-test";
import {
  anyApi,
  type FunctionReference,
  type GenericSchema,
  type SchemaDefinition,
} from "convex/server";
import { beforeEach, expect, test } from "vitest";
import schema from "../../compat/seeds/convex/schema.js";
import { sent } from "../../compat/seeds/convex/sent.js";
import { register as registerBatch } from "../../src/test/batch.js";
import { register as registerPool } from "../../src/test/pool.js";
import { register as registerWorker } from "../../src/test/worker.js";
import { advance, advanceUntil, deploy, useVirtualTime } from "../stage.js";

useVirtualTime();

const modules = import.meta.glob("../../compat/seeds/convex/**/*.ts");

const POOLS = ["emailWorkpool", "scrapeWorkpool", "counterWorkpool", "standardPool", "batchPool"];

/** The snippets' functions, by module; their types are checked where they are. */
const { analytics, auth, counter, email, example, jobs, migrations, pipeline, weather } =
  anyApi as Record<string, typeof anyApi>;

type Row = Record<string, unknown>;

interface App {
  readonly t: TestConvex<SchemaDefinition<GenericSchema, boolean>>;
  readonly mutate: (fn: unknown, args?: Row) => Promise<unknown>;
  readonly ask: (fn: unknown, args?: Row) => Promise<unknown>;
  readonly act: (fn: unknown, args?: Row) => Promise<unknown>;
  readonly rows: (table: string) => Promise<Row[]>;
}

async function app(): Promise<App> {
  const t = await deploy(schema, modules);
  registerBatch(t, "batchProcessor");
  registerWorker(t, "batchWorker");
  for (const name of POOLS) registerPool(t, name);
  return {
    t,
    mutate: (fn, args = {}) => t.mutation(fn as FunctionReference<"mutation">, args),
    ask: (fn, args = {}) => t.query(fn as FunctionReference<"query">, args),
    act: (fn, args = {}) => t.action(fn as FunctionReference<"action">, args),
    rows: (table) => t.run((ctx) => ctx.db.query(table).collect()),
  };
}

beforeEach(() => {
  sent.length = 0;
});

test("000: events are collected and flushed by time, by size and by hand", async () => {
  const { mutate, ask } = await app();
  const track = (eventName: string): Promise<unknown> =>
    mutate(analytics?.["trackEvent"], { eventName, properties: { from: "test" } });
  expect(await track("a")).toEqual({
    batchId: "analytics-events",
    itemCount: 1,
    flushed: false,
    status: "accumulating",
  });
  await track("b");
  expect(await ask(analytics?.["status"])).toMatchObject({
    batchId: "analytics-events",
    batches: [{ status: "accumulating", itemCount: 2 }],
    config: { maxBatchSize: 100, flushIntervalMs: 30_000 },
  });
  await advance(31_000);
  expect(sent).toEqual([["a", "b"]]);
  await track("c");
  expect(await mutate(analytics?.["flush"])).toMatchObject({ itemCount: 1, flushed: true });
  await advance(100);
  expect(sent).toEqual([["a", "b"], ["c"]]);
  expect(await ask(analytics?.["history"])).toMatchObject([
    { itemCount: 1, success: true },
    { itemCount: 2, success: true },
  ]);
  expect(await mutate(analytics?.["remove"])).toEqual({ deleted: true });
});

test("000: a migration goes through a table, and can be paused, resumed and listed", async () => {
  const { t, mutate, ask, rows } = await app();
  await t.run(async (ctx) => {
    for (let n = 0; n < 250; n++) {
      await ctx.db.insert("users", { name: `user ${n}`, email: `${n}@example.com` });
    }
  });
  const { jobId } = (await mutate(migrations?.["startMigration"])) as { jobId: string };
  expect(await mutate(jobs?.["pause"], { jobId })).toMatchObject({ status: "paused" });
  expect(await ask(jobs?.["listJobs"], { status: "paused" })).toMatchObject([{ jobId }]);
  await advance(10_000);
  expect(await mutate(jobs?.["resume"], { jobId })).toMatchObject({ status: "running" });
  await advanceUntil(async () => (await rows("completed")).length > 0);
  expect(sent).toHaveLength(250);
  expect(await rows("completed")).toMatchObject([{ jobId, processedCount: 250 }]);
  expect(await ask(jobs?.["getStatus"], { jobId })).toMatchObject({
    status: "completed",
    processedCount: 250,
    config: { batchSize: 100, delayBetweenBatchesMs: 100 },
  });
  expect(await ask(jobs?.["listJobs"])).toHaveLength(1);
  expect(await mutate(jobs?.["deleteJob"], { jobId })).toEqual({ deleted: true });
});

test("000: a migration that is cancelled is failed, and says by whom", async () => {
  const { mutate, ask } = await app();
  const { jobId } = (await mutate(migrations?.["startMigration"])) as { jobId: string };
  expect(await mutate(jobs?.["cancel"], { jobId })).toMatchObject({ status: "failed" });
  const expected = { status: "failed", cancelled: true, errorMessage: "Cancelled by user" };
  expect(await ask(jobs?.["getStatus"], { jobId })).toMatchObject(expected);
});

test("001: events are processed in batches by one loop, which can be stopped and started", async () => {
  const { mutate, ask, rows } = await app();
  expect(await ask(example?.["status"])).toBeNull();
  for (let value = 1; value <= 25; value++) await mutate(example?.["addEvent"], { value });
  await advanceUntil(async () => (await rows("totals")).length === 25);
  await advance(5000);
  expect(await ask(example?.["status"])).toEqual({ kind: "idle" });
  await mutate(example?.["stop"]);
  await mutate(example?.["addEventLater"], { value: 26 });
  await advance(60_000);
  expect(await rows("events")).toHaveLength(1);
  expect(await ask(example?.["status"])).toEqual({ kind: "stopped" });
  await mutate(example?.["start"]);
  await advanceUntil(async () => (await rows("totals")).length === 26);
  expect(await rows("events")).toEqual([]);
});

test("001: a second queue debounces by what its mutation returns", async () => {
  const { mutate, rows } = await app();
  for (let n = 0; n < 8; n++) await mutate(email?.["enqueue"], { to: `${n}@example.com` });
  await advance(1000);
  expect(await rows("sent")).toHaveLength(5);
  await advance(28_000);
  expect(await rows("sent")).toHaveLength(5);
  await advance(3000);
  expect(await rows("sent")).toHaveLength(8);
});

test("002: jobs go through three handlers, each callback enqueueing the next", async () => {
  const { mutate, ask, rows } = await app();
  const sentences = ["hello", "broken", "good morning"];
  const ids = (await mutate(pipeline?.["runBatch"], { sentences })) as string[];
  expect(ids).toHaveLength(3);
  expect(await ask(pipeline?.["where"], { id: ids[0] })).toMatchObject({ state: "pending" });
  await advance(10_000);
  expect(await rows("translations")).toMatchObject([
    { sentence: "hello", spanish: "es(hello)", english: "en(es(hello))", letters: 9 },
    { sentence: "broken", english: "failed" },
    { sentence: "good morning", letters: 15 },
  ]);
  expect(await ask(pipeline?.["where"], { id: ids[0] })).toEqual({ state: "finished" });
  expect(await ask(pipeline?.["isRegistered"], { name: "countLetters" })).toBe(true);
  expect(await ask(pipeline?.["isRegistered"], { name: "nothing" })).toBe(false);
});

test("003: work runs in pools, and its result can be waited for", async () => {
  const { mutate, ask, act } = await app();
  const user = { name: "Ada", email: "ada@example.com" };
  const id = await mutate(auth?.["signUp"], user);
  expect(await ask(auth?.["status"], { id })).toMatchObject({ state: "pending" });
  await mutate(weather?.["downloadLatestWeather"]);
  await advance(5000);
  expect(await ask(auth?.["status"], { id })).toEqual({ state: "finished" });
  const texts = (sent as string[]).toSorted((a, b) => a.localeCompare(b));
  expect(texts).toEqual(["Oslo", "Paris", "Rome", expect.stringMatching(/^verify/v)]);
  const userId = texts.find((text) => text.startsWith("verify"))?.slice(7);
  const verified = act(auth?.["verify"], { userId });
  await advance(5000);
  expect(await verified).toBe(`sent to ${userId}`);
});

test("003: the context of a pool runs mutations one by one, now and later", async () => {
  const { act, rows } = await app();
  const counted = Promise.all([1, 2, 3].map(() => act(counter?.["doSomethingAndCount"])));
  await advance(10_000);
  expect((await counted).toSorted((a, b) => Number(a) - Number(b))).toEqual([1, 2, 3]);
  expect(await rows("counters")).toMatchObject([{ count: 6 }]);
  await act(counter?.["scheduleAndCancel"]);
  await advance(120_000);
  expect(await rows("counters")).toMatchObject([{ count: 6 }]);
});
