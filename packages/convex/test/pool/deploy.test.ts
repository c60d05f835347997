/** Deploys, clocks that jump, and much of everything at once. */
import { makeFunctionReference } from "convex/server";
import { expect, test, vi } from "vitest";
import { advance, advanceUntil, useVirtualTime } from "../stage.js";
import { tasks } from "./app/tasks.js";
import { watched } from "./app/watched.js";
import { crash, isIdle, jobs, names, stage, type Stage } from "./fixture.js";

useVirtualTime();

const RETRY = { maxAttempts: 5, initialBackoffMs: 100, base: 2 };
const DAY = 24 * 3_600_000;

async function expectNothingLeft(at: Stage): Promise<void> {
  await advanceUntil(() => isIdle(at));
  for (const table of ["work", "chunks", "executors", "callbacks"]) {
    expect(await at.rows(table), table).toEqual([]);
  }
}

test("deploys that kill every action lose nothing, and take seconds, not minutes", async () => {
  const at = await stage({ maxParallelism: 64 });
  const all = names(300).map((one) => ({ ...one, ms: 400 }));
  const options = { retry: RETRY, onComplete: jobs.ended };
  for (let call = 0; call < 3; call++) {
    const some = all.slice(call * 100, call * 100 + 100);
    await at.mutate((ctx) => at.pool.enqueueActionBatch(ctx, jobs.work, some, options));
  }
  const from = Date.now();
  for (let deploy = 0; deploy < 2; deploy++) {
    await advance(1000);
    expect((await at.rows("executors")).length).toBeGreaterThan(1);
    await crash(at);
    await advance(2500);
  }
  await advanceUntil(async () => (await at.own("ended")).length === 300);
  expect(Date.now() - from).toBeLessThan(60_000);
  await expectNothingLeft(at);
  const ended = await at.own("ended");
  expect(new Set(ended.map(({ workId }) => workId)).size).toBe(300);
  expect(ended.every(({ result }) => (result as { kind: string }).kind === "success")).toBe(true);
});

test("mutations are not touched by a deploy: each runs exactly once", async () => {
  const at = await stage({ maxParallelism: 3 });
  await at.mutate((ctx) => at.pool.enqueueMutationBatch(ctx, jobs.write, names(300)));
  for (let deploy = 0; deploy < 5; deploy++) {
    await advance(7);
    // A mutation is a transaction: what the scheduler has begun it carries out, or begins again.
    expect((await at.own("ran")).length).toBeLessThanOrEqual(300);
  }
  await expectNothingLeft(at);
  const ran = (await at.own("ran")).map(({ name }) => name);
  expect(ran).toHaveLength(300);
  expect(new Set(ran).size).toBe(300);
});

test("a function that a deploy took away fails its work, which is run again once it is back", async () => {
  const at = await stage();
  const gone = makeFunctionReference<"action">("jobs:gone");
  await at.mutate((ctx) => at.pool.enqueueAction(ctx, gone, {}));
  await advanceUntil(() => isIdle(at));
  expect(await at.t.query((ctx) => at.pool.deadLetters(ctx))).toMatchObject([
    { name: "jobs:gone", attempts: 1 },
  ]);
});

test.for([DAY, -DAY, 3_600_000, -3_600_000])(
  "a clock that jumps by %d ms while work runs loses nothing and repeats nothing",
  async (jump) => {
    const at = await stage({ maxParallelism: 10 });
    const all = names(100).map((one) => ({ ...one, ms: 300 }));
    const options = { retry: RETRY, onComplete: jobs.ended };
    await at.mutate((ctx) => at.pool.enqueueActionBatch(ctx, jobs.work, all, options));
    await at.mutate((ctx) =>
      at.pool.enqueueActionBatch(ctx, jobs.work, names(30, "k"), { ...options, serialKey: "k" }),
    );
    await advance(900);
    vi.setSystemTime(Date.now() + jump);
    await advance(900);
    vi.setSystemTime(Date.now() - jump);
    await advance(200_000);
    expect(await at.own("ended")).toHaveLength(130);
    expect(new Set(watched.started).size).toBe(watched.started.length);
    await expectNothingLeft(at);
  },
);

test("a clock that is set back delays what is due later by as much, and no more", async () => {
  const at = await stage();
  await at.mutate((ctx) =>
    at.pool.enqueueAction(ctx, jobs.work, { name: "a" }, { runAfter: 5000 }),
  );
  await advance(2000);
  vi.setSystemTime(Date.now() - 10_000);
  await advance(20_000);
  expect(watched.done).toEqual(["a"]);
});

test("three thousand actions of thirty calls run once each, and leave nothing", async () => {
  const at = await stage({ maxParallelism: 200 });
  for (let call = 0; call < 30; call++) {
    await at.mutate((ctx) => at.pool.enqueueActionBatch(ctx, jobs.work, names(100, `${call}.`)));
    await advance(1);
  }
  await advanceUntil(() => watched.done.length === 3000);
  await expectNothingLeft(at);
  expect(new Set(watched.started).size).toBe(3000);
  expect(watched.most).toBeLessThanOrEqual(200);
});

test("ten thousand handlers of a BatchWorkpool run once each, in a few executors", async () => {
  const at = await stage();
  for (let call = 0; call < 10; call++) {
    const some = names(1000, `${call}.`).map((args) => ({ name: "greet", args }));
    await at.mutate((ctx) => tasks.enqueueBatch(ctx, some));
  }
  await advanceUntil(() => watched.done.length === 10_000);
  await expectNothingLeft(at);
  expect(new Set(watched.started).size).toBe(10_000);
});

test("contexts, arguments and results of a megabyte each, of work that fails, stay within the limits", async () => {
  const at = await stage({ maxParallelism: 4 });
  const context = "c".repeat(400_000);
  for (let i = 0; i < 4; i++) {
    const name = `${i}`.padEnd(550_000, "x");
    const options = { onComplete: jobs.ended, context };
    await at.mutate((ctx) =>
      at.pool.enqueueAction(ctx, jobs.work, { name, fail: "always" }, options),
    );
    await at.mutate((ctx) => at.pool.enqueueAction(ctx, jobs.large, { bytes: 900_000 }, options));
  }
  await advanceUntil(() => isIdle(at));
  expect(await at.own("ended")).toHaveLength(8);
  const letters = await at.t.query((ctx) => at.pool.deadLetters(ctx));
  expect(letters.length).toBeGreaterThanOrEqual(4);
  while ((await at.mutate((ctx) => at.pool.discard(ctx))) > 0);
  expect(await at.rows("chunks")).toHaveLength(0);
});
