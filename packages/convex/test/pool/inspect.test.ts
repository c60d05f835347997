/** Looking at a pool: what waits, what runs, and why. */
import { expect, test } from "vitest";
import { Workpool, type WorkId } from "../../src/client/pool.js";
import { advance, advanceUntil, useVirtualTime } from "../stage.js";
import { watched } from "./app/watched.js";
import { components, isIdle, jobs, names, stage, type Stage } from "./fixture.js";

useVirtualTime();

const { inspect, config } = components.pool;

const RETRY = { maxAttempts: 3, initialBackoffMs: 60_000, base: 2 };

function summary(at: Stage): Promise<unknown> {
  return at.t.query((ctx) => at.pool.summary(ctx));
}

async function reason(at: Stage, id: WorkId): Promise<string> {
  return (await at.t.query((ctx) => at.pool.explain(ctx, id))).reason;
}

test("a summary counts what waits, is delayed, is held, runs and was given up", async () => {
  const at = await stage({ maxParallelism: 2 });
  expect(await summary(at)).toMatchObject({ state: "idle", waiting: 0, running: 0, more: false });
  await at.mutate(async (ctx) => {
    await at.pool.enqueueAction(ctx, jobs.work, { name: "dies", fail: "always" });
    await at.pool.enqueueAction(ctx, jobs.work, { name: "later" }, { runAfter: 60_000 });
  });
  await advance(1000);
  await at.mutate(async (ctx) => {
    const slow = names(2).map((one) => ({ ...one, ms: 30_000 }));
    await at.pool.enqueueActionBatch(ctx, jobs.work, slow);
  });
  await advance(500);
  await at.mutate((ctx) => at.pool.enqueueMutationBatch(ctx, jobs.write, names(40)));
  await advance(500);
  expect(await summary(at)).toEqual({
    state: "full",
    waiting: 40,
    delayed: 1,
    held: 0,
    running: 2,
    dead: 1,
    deadCallbacks: 0,
    maxParallelism: 2,
    more: false,
  });
});

test("work is listed page by page, by its state and its pool", async () => {
  const at = await stage({ maxParallelism: 0 });
  const other = new Workpool(components.pool, { maxParallelism: 0, pool: "other" });
  for (let call = 0; call < 5; call++) {
    await at.mutate((ctx) => at.pool.enqueueActionBatch(ctx, jobs.work, names(10, `${call}.`)));
  }
  await at.mutate((ctx) => other.enqueueAction(ctx, jobs.work, { name: "z" }, { runAfter: 1000 }));
  const seen: string[] = [];
  let cursor: number | null = 0;
  while (cursor !== null) {
    const args = { cursor, limit: 15 };
    const page: { items: { id: string }[]; cursor: number | null } = await at.t.query((ctx) =>
      ctx.runQuery(inspect.list, args),
    );
    seen.push(...page.items.map(({ id }) => id));
    ({ cursor } = page);
  }
  expect(new Set(seen).size).toBe(51);
  const list = (args: object): Promise<{ items: object[] }> =>
    at.t.query((ctx) => ctx.runQuery(inspect.list, args));
  expect((await list({ pool: "other" })).items).toMatchObject([
    { name: "jobs:work", state: "delayed", pool: "other", attempts: 0 },
  ]);
  expect((await list({ state: "waiting" })).items).toHaveLength(50);
});

test("work says what it waits for", async () => {
  const at = await stage({ maxParallelism: 1 });
  const enqueue = async (name: string, options: object = {}, ms = 0): Promise<WorkId> => {
    const id = await at.mutate((ctx) =>
      at.pool.enqueueAction(ctx, jobs.work, { name, ms }, options),
    );
    await advance(300);
    return id;
  };
  const later = await enqueue("later", { runAfter: 100_000 });
  const again = await at.mutate((ctx) =>
    at.pool.enqueueAction(ctx, jobs.work, { name: "again", fail: "always" }, { retry: RETRY }),
  );
  await advance(500);
  const first = await enqueue("first", { serialKey: "k" }, 30_000);
  const next = await enqueue("next", { serialKey: "k" });
  const cramped = await enqueue("cramped");
  expect(await reason(at, later)).toContain("Its time has not come");
  expect(await at.t.query((ctx) => at.pool.explain(ctx, again))).toMatchObject({
    state: "delayed",
    attempts: 1,
    error: "always",
    reason: "It waits for its next attempt.",
  });
  expect(await reason(at, first)).toContain("A run has taken it");
  expect(await reason(at, next)).toContain('the serial key "k"');
  expect(await reason(at, cramped)).toContain("All of maxParallelism 1 are in use");
  await at.mutate((ctx) => at.pool.pause(ctx));
  expect(await reason(at, cramped)).toContain("paused");
  await at.mutate((ctx) => at.pool.resume(ctx));
  await at.mutate((ctx) => ctx.runMutation(config.update, { maxParallelism: 0 }));
  expect(await reason(at, cramped)).toContain("maxParallelism is 0");
  await at.mutate((ctx) => ctx.runMutation(config.update, { maxParallelism: null }));
  await advance(60_000);
  expect(await reason(at, first)).toContain("It ended");
});

test("an id that is not the pool's cannot be explained", async () => {
  const at = await stage();
  const id = "nothing" as WorkId;
  await expect(at.t.query((ctx) => at.pool.explain(ctx, id))).rejects.toThrow(/NOT_FOUND/v);
});

test("work that waits for a throttle says until when", async () => {
  const at = await stage({ throttle: { max: 1, duration: 3_600_000 } });
  const [, second] = await at.mutate((ctx) => at.pool.enqueueActionBatch(ctx, jobs.work, names(2)));
  await advance(1000);
  expect(await reason(at, second as WorkId)).toContain("before 2026-01-01T01:00:00");
});

test("one pool of an instance is paused, and the others go on", async () => {
  const at = await stage();
  const other = new Workpool(components.pool, { pool: "other" });
  await at.mutate((ctx) => at.pool.pause(ctx));
  await at.mutate((ctx) =>
    at.pool.enqueueAction(ctx, jobs.work, { name: "a", fail: "until third" }, { retry: RETRY }),
  );
  await at.mutate((ctx) => other.enqueueAction(ctx, jobs.work, { name: "b" }));
  await advance(60_000);
  expect(watched.done).toEqual(["b"]);
  expect(await isIdle(at)).toBe(true);
  await at.mutate((ctx) => at.pool.resume(ctx));
  await advance(600_000);
  expect(watched.done).toEqual(["b", "a"]);
});

test("a pause takes back what a run has not begun, and what was due meanwhile waits too", async () => {
  const at = await stage({ maxParallelism: 5 });
  const all = names(100).map((one) => ({ ...one, ms: 930 }));
  await at.mutate((ctx) => at.pool.enqueueActionBatch(ctx, jobs.work, all));
  await at.mutate((ctx) =>
    at.pool.enqueueAction(ctx, jobs.work, { name: "due" }, { runAfter: 2000 }),
  );
  await advance(500);
  await at.mutate((ctx) => at.pool.pause(ctx));
  await advance(60_000);
  expect(watched.started.length).toBeLessThanOrEqual(10);
  expect(watched.done).toHaveLength(watched.started.length);
  expect(await isIdle(at)).toBe(true);
  await at.mutate((ctx) => at.pool.resume(ctx));
  await advanceUntil(() => watched.done.length === 101);
  await advanceUntil(() => isIdle(at));
  expect(new Set(watched.started).size).toBe(101);
  expect(await at.rows("chunks")).toEqual([]);
});

test("a pause between assigning and taking loses nothing and leaves no run behind", async () => {
  const at = await stage();
  await at.mutate((ctx) => at.pool.enqueueActionBatch(ctx, jobs.work, names(10)));
  await advanceUntil(async () => (await at.rows("executors")).length > 0);
  await at.mutate((ctx) => ctx.runMutation(config.update, { maxParallelism: 0 }));
  await advance(5000);
  expect(await at.rows("executors")).toEqual([]);
  const before = watched.done.length;
  await at.mutate((ctx) => ctx.runMutation(config.update, { maxParallelism: null }));
  await advanceUntil(() => isIdle(at));
  expect(before === 0 || before === 10).toBe(true);
  expect(watched.done).toHaveLength(10);
});

test("a configuration set before the first call leaves that one its declaration", async () => {
  const at = await stage({ maxParallelism: 3 });
  await at.mutate((ctx) => ctx.runMutation(config.update, { logLevel: "WARN" }));
  const all = names(30).map((one) => ({ ...one, ms: 10 }));
  await at.mutate((ctx) => at.pool.enqueueActionBatch(ctx, jobs.work, all));
  await advanceUntil(() => isIdle(at));
  expect(watched.most).toBe(3);
});

test("after a reset the next call declares anew", async () => {
  const at = await stage({ maxParallelism: 3 });
  await at.mutate((ctx) => at.pool.enqueueAction(ctx, jobs.work, { name: "a" }));
  const other = new Workpool(components.pool, { maxParallelism: 7 });
  await at.mutate((ctx) => ctx.runMutation(config.reset, {}));
  await at.mutate((ctx) => other.enqueueAction(ctx, jobs.work, { name: "b" }));
  expect(await at.t.query((ctx) => ctx.runQuery(config.get, {}))).toMatchObject({
    maxParallelism: 7,
  });
});
