import { expect, test } from "vitest";
import { advance, advanceUntil, useVirtualTime } from "../stage.js";
import { watched } from "./app/watched.js";
import { isIdle, jobs, names, stage } from "./fixture.js";

useVirtualTime();

const EMPTY = ["chunks", "work", "executors", "callbacks"];

test("an action is run, its result handed to onComplete, and nothing of it is left", async () => {
  const at = await stage();
  const { pool, mutate, rows, own, states } = at;
  const id = await mutate((ctx) =>
    pool.enqueueAction(ctx, jobs.work, { name: "a" }, { onComplete: jobs.ended, context: 7 }),
  );
  expect(await states([id])).toEqual(["pending"]);
  await advanceUntil(() => isIdle(at));
  expect(watched.done).toEqual(["a"]);
  expect(await own("ended")).toMatchObject([
    { workId: id, context: 7, result: { kind: "success", returnValue: "A" } },
  ]);
  expect(await states([id])).toEqual(["finished"]);
  for (const table of EMPTY) expect(await rows(table), table).toEqual([]);
});

test("a thousand actions run, never more at a time than maxParallelism", async () => {
  const at = await stage({ maxParallelism: 10 });
  const { pool, mutate, rows } = at;
  const all = names(1000).map((one) => ({ ...one, ms: 100 }));
  for (let call = 0; call < 10; call++) {
    const some = all.slice(call * 100, call * 100 + 100);
    await mutate((ctx) => pool.enqueueActionBatch(ctx, jobs.work, some));
  }
  const took = await advanceUntil(() => watched.done.length === 1000);
  expect(watched.most).toBe(10);
  expect(took).toBeLessThanOrEqual(11_000);
  await advanceUntil(() => isIdle(at));
  expect(new Set(watched.started).size).toBe(1000);
  for (const table of EMPTY) expect(await rows(table), table).toEqual([]);
});

test("mutations run once each, in groups, and one that throws fails alone", async () => {
  const at = await stage();
  const { pool, mutate, own } = at;
  const all = names(40).map((one, i) => (i === 5 ? { ...one, fail: true } : one));
  await mutate((ctx) =>
    pool.enqueueMutationBatch(ctx, jobs.write, all, { onComplete: jobs.ended }),
  );
  await advanceUntil(() => isIdle(at));
  const ran = (await own("ran")).map(({ name }) => name);
  expect(ran).toHaveLength(39);
  expect(new Set(ran).size).toBe(39);
  expect(ran).not.toContain("a6");
  const failed = (await own("ended")).filter(
    ({ result }) => (result as { kind: string }).kind === "failed",
  );
  expect(failed).toMatchObject([{ result: { kind: "failed", error: "no a6" } }]);
});

test("a query's result goes to onComplete", async () => {
  const at = await stage();
  const { pool, mutate, own } = at;
  await mutate((ctx) =>
    pool.enqueueQuery(ctx, jobs.read, { name: "a" }, { onComplete: jobs.ended }),
  );
  await advanceUntil(() => isIdle(at));
  expect(await own("ended")).toMatchObject([
    { result: { kind: "success", returnValue: "read a" } },
  ]);
});

test("an action that fails is tried again after its backoff, under the same id", async () => {
  const at = await stage();
  const { pool, mutate, rows, own, states } = at;
  const id = await mutate((ctx) =>
    pool.enqueueAction(
      ctx,
      jobs.work,
      { name: "a", fail: "until third" },
      { retry: { maxAttempts: 3, initialBackoffMs: 1000, base: 2 }, onComplete: jobs.ended },
    ),
  );
  await advance(200);
  expect(watched.started).toHaveLength(1);
  expect(await states([id])).toEqual(["pending"]);
  expect(await rows("work")).toMatchObject([{ attempts: 1, places: [0] }]);
  await advance(5000);
  await advanceUntil(() => isIdle(at));
  expect(watched.started).toHaveLength(3);
  expect(await own("ended")).toMatchObject([{ workId: id, result: { kind: "success" } }]);
  for (const table of EMPTY) expect(await rows(table), table).toEqual([]);
});

test("a NonRetryableError fails at once, however many attempts are left", async () => {
  const at = await stage();
  const { pool, mutate, own } = at;
  await mutate((ctx) =>
    pool.enqueueAction(
      ctx,
      jobs.work,
      { name: "a", fail: "for good" },
      { retry: true, onComplete: jobs.ended },
    ),
  );
  await advanceUntil(() => isIdle(at));
  await advance(60_000);
  expect(watched.started).toEqual(["a"]);
  expect(await own("ended")).toMatchObject([{ result: { kind: "failed" } }]);
});
