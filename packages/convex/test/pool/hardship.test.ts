import { expect, test } from "vitest";
import { advance, advanceUntil, useVirtualTime } from "../stage.js";
import { watched } from "./app/watched.js";
import { components, isIdle, jobs, names, stage } from "./fixture.js";

useVirtualTime();

test("one action of a minute among a thousand holds up none of the others", async () => {
  const at = await stage({ maxParallelism: 10 });
  const all = names(1000).map((one, i) => ({ ...one, ms: i === 3 ? 60_000 : 100 }));
  for (let call = 0; call < 10; call++) {
    const some = all.slice(call * 100, call * 100 + 100);
    await at.mutate((ctx) => at.pool.enqueueActionBatch(ctx, jobs.work, some));
  }
  const took = await advanceUntil(() => watched.done.length === 999);
  expect(took).toBeLessThanOrEqual(12_000);
  expect(watched.done).not.toContain("a4");
  await advanceUntil(() => isIdle(at));
  expect(watched.done).toContain("a4");
});

test("a callback that throws is kept, and tried again on its own", async () => {
  const at = await stage();
  await at.mutate((ctx) =>
    at.pool.enqueueActionBatch(ctx, jobs.work, names(3), {
      onComplete: jobs.ended,
      context: "throw twice",
    }),
  );
  await advance(1000);
  expect(await at.own("ended")).toHaveLength(1);
  expect(await at.rows("callbacks")).toMatchObject([
    { attempts: 1, error: "no callback" },
    { attempts: 1, error: "no callback" },
  ]);
  await advance(60_000);
  expect(await at.own("ended")).toHaveLength(3);
  expect(await at.rows("callbacks")).toEqual([]);
  expect(watched.started).toHaveLength(3);
});

test("a callback that always throws becomes a dead letter, and nothing spins", async () => {
  const at = await stage();
  await at.mutate((ctx) =>
    at.pool.enqueueAction(
      ctx,
      jobs.work,
      { name: "a" },
      { onComplete: jobs.ended, context: "throw" },
    ),
  );
  await advance(4 * 3_600_000);
  expect(watched.thrown).toBe(10);
  expect(await at.rows("callbacks")).toMatchObject([{ attempts: 10, error: "no callback" }]);
  expect(await isIdle(at)).toBe(true);
});

test("a return value that cannot be settled fails its own item and no other", async () => {
  const at = await stage();
  await at.mutate(async (ctx) => {
    await at.pool.enqueueAction(ctx, jobs.large, { bytes: 3_000_000 }, { onComplete: jobs.ended });
    await at.pool.enqueueActionBatch(ctx, jobs.work, names(20), { onComplete: jobs.ended });
  });
  await advanceUntil(() => isIdle(at));
  const kinds = (await at.own("ended")).map(({ result }) => (result as { kind: string }).kind);
  expect(kinds.filter((kind) => kind === "failed")).toHaveLength(1);
  expect(kinds.filter((kind) => kind === "success")).toHaveLength(20);
});

test("arguments of a megabyte each go through, within the limits of every transaction", async () => {
  const at = await stage({ maxParallelism: 4 });
  for (let i = 0; i < 12; i++) {
    await at.mutate((ctx) =>
      at.pool.enqueueAction(ctx, jobs.work, { name: `${i}`.padEnd(990_000, "x") }),
    );
  }
  await advanceUntil(() => isIdle(at));
  expect(watched.done).toHaveLength(12);
  expect(await at.rows("chunks")).toEqual([]);
});

test("an item that does not fit in a document is refused, with its size", async () => {
  const at = await stage();
  const enqueued = at.mutate((ctx) =>
    at.pool.enqueueAction(ctx, jobs.work, { name: "x".repeat(1_000_001) }),
  );
  await expect(enqueued).rejects.toThrow(/ITEM_TOO_LARGE/v);
});

test("mutations whose writes do not fit in one transaction are run in several", async () => {
  const at = await stage();
  const all = names(16).map((one) => ({ ...one, bytes: 900_000 }));
  await at.mutate((ctx) => at.pool.enqueueMutationBatch(ctx, jobs.write, all));
  await advanceUntil(() => isIdle(at));
  expect(await at.own("ran")).toHaveLength(16);
});

test("what waits is canceled, what runs ends and is not tried again", async () => {
  const at = await stage({ maxParallelism: 1 });
  const retry = { maxAttempts: 5, initialBackoffMs: 100, base: 2 };
  const [running, waiting] = await at.mutate(async (ctx) => [
    await at.pool.enqueueAction(
      ctx,
      jobs.work,
      { name: "a", ms: 1000, fail: "always" },
      { retry, onComplete: jobs.ended },
    ),
    await at.pool.enqueueAction(
      ctx,
      jobs.work,
      { name: "b" },
      { onComplete: jobs.ended, runAfter: 500 },
    ),
  ]);
  await advance(200);
  await at.mutate(async (ctx) => {
    if (running !== undefined) await at.pool.cancel(ctx, running);
    if (waiting !== undefined) await at.pool.cancel(ctx, waiting);
  });
  await advance(10_000);
  expect(watched.started).toEqual(["a"]);
  expect(await at.own("ended")).toMatchObject([
    { workId: waiting, result: { kind: "canceled" } },
    { workId: running, result: { kind: "failed" } },
  ]);
  expect(await isIdle(at)).toBe(true);
});

test("cancelling everything reads no row twice, and stops when the last is done", async () => {
  const at = await stage({ maxParallelism: 0 });
  for (let call = 0; call < 5; call++) {
    await at.mutate((ctx) => at.pool.enqueueActionBatch(ctx, jobs.work, names(30)));
  }
  await at.mutate((ctx) => at.pool.cancelAll(ctx, { limit: 1 }));
  await advance(5000);
  expect(await at.rows("work")).toEqual([]);
  expect(await at.rows("chunks")).toEqual([]);
  expect(watched.started).toEqual([]);
});

test("a paused pool settles what runs, and goes on when it is resumed", async () => {
  const at = await stage();
  await at.mutate((ctx) => at.pool.enqueueActionBatch(ctx, jobs.work, [{ name: "a", ms: 1000 }]));
  await advance(100);
  await at.mutate((ctx) => ctx.runMutation(components.pool.config.update, { maxParallelism: 0 }));
  await at.mutate((ctx) => at.pool.enqueueActionBatch(ctx, jobs.work, names(3, "b")));
  await advance(60_000);
  expect(watched.done).toEqual(["a"]);
  expect(await at.rows("work")).toHaveLength(1);
  await at.mutate((ctx) => ctx.runMutation(components.pool.config.update, { maxParallelism: 5 }));
  await advanceUntil(() => watched.done.length === 4);
  expect(watched.done.toSorted()).toEqual(["a", "b1", "b2", "b3"]);
});

test("work that is due later runs at its time, and the pool sleeps until then", async () => {
  const at = await stage();
  await at.mutate((ctx) =>
    at.pool.enqueueAction(ctx, jobs.work, { name: "later" }, { runAfter: 3_600_000 }),
  );
  await advance(1000);
  expect(await isIdle(at)).toBe(true);
  await advance(3_590_000);
  expect(watched.started).toEqual([]);
  await at.mutate((ctx) => at.pool.enqueueAction(ctx, jobs.work, { name: "now" }));
  await advance(1000);
  expect(watched.done).toEqual(["now"]);
  await advance(10_000);
  expect(watched.done).toEqual(["now", "later"]);
});

test("two thousand mutations of one call run once each", async () => {
  const at = await stage({ maxParallelism: 200 });
  await at.mutate((ctx) => at.pool.enqueueMutationBatch(ctx, jobs.write, names(2000)));
  await advanceUntil(() => isIdle(at));
  expect(new Set((await at.own("ran")).map(({ name }) => name)).size).toBe(2000);
});
