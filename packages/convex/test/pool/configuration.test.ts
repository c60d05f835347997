import { makeFunctionReference } from "convex/server";
import { expect, test, vi } from "vitest";
import { Workpool, type WorkId } from "../../src/client/pool.js";
import { advance, advanceUntil, useVirtualTime } from "../stage.js";
import { watched } from "./app/watched.js";
import { components, isIdle, jobs, names, stage } from "./fixture.js";

useVirtualTime();

test("two declarations that differ: the first stays, the second warns once and writes nothing", async () => {
  const warn = vi.spyOn(console, "warn").mockReturnValue(undefined);
  const at = await stage({ maxParallelism: 2 });
  const other = new Workpool(components.pool, { maxParallelism: 50 });
  await at.mutate((ctx) => at.pool.enqueueAction(ctx, jobs.work, { name: "a" }));
  for (let call = 0; call < 5; call++) {
    await at.mutate((ctx) => other.enqueueActionBatch(ctx, jobs.work, names(10)));
    await at.mutate((ctx) => at.pool.enqueueAction(ctx, jobs.work, { name: "b", ms: 10 }));
  }
  const warnings = warn.mock.calls.map(String);
  expect(warnings).toHaveLength(1);
  expect(await at.rows("gate")).toMatchObject([{ declared: { maxParallelism: 2 } }]);
  await advanceUntil(() => isIdle(at));
  expect(watched.most).toBeLessThanOrEqual(2);
  warn.mockRestore();
});

test("an override wins over what code declares", async () => {
  const at = await stage({ maxParallelism: 50 });
  await at.mutate((ctx) => ctx.runMutation(components.pool.config.update, { maxParallelism: 3 }));
  const all = names(30).map((one) => ({ ...one, ms: 10 }));
  await at.mutate((ctx) => at.pool.enqueueActionBatch(ctx, jobs.work, all));
  await advanceUntil(() => isIdle(at));
  expect(watched.most).toBe(3);
  expect(watched.done).toHaveLength(30);
});

test("a parallelism out of range is refused, with its field and value", async () => {
  const at = await stage({ maxParallelism: -1 });
  const enqueued = at.mutate((ctx) => at.pool.enqueueAction(ctx, jobs.work, { name: "a" }));
  await expect(enqueued).rejects.toThrow(/maxParallelism.*-1/v);
});

test("pools of one instance share its room, and urgent work goes first", async () => {
  const at = await stage({ maxParallelism: 1 });
  const other = new Workpool(components.pool, { maxParallelism: 1, pool: "other" });
  await at.mutate(async (ctx) => {
    await at.pool.enqueueAction(ctx, jobs.work, { name: "first" });
    await at.pool.enqueueAction(ctx, jobs.work, { name: "calm" }, { priority: 5 });
    await other.enqueueAction(ctx, jobs.work, { name: "other" }, { priority: 5 });
    await at.pool.enqueueAction(ctx, jobs.work, { name: "urgent" }, { priority: -5 });
  });
  await advanceUntil(() => isIdle(at));
  expect(watched.most).toBe(1);
  expect(watched.started).toEqual(["urgent", "first", "calm", "other"]);
});

test("an id of another system is an error, and asked of the pool that is being replaced", async () => {
  const at = await stage();
  const foreign = "kx74jvd0cyq3" as WorkId;
  await expect(at.t.query((ctx) => at.pool.status(ctx, foreign))).rejects.toThrow(/NOT_FOUND/v);
  const legacy = {
    lib: {
      status: makeFunctionReference<"query">("jobs:statusOfOld"),
      cancel: makeFunctionReference<"mutation">("jobs:cancelOld"),
    },
  };
  const pool = new Workpool(components.pool, { legacy: legacy as never });
  expect(await at.t.query((ctx) => pool.status(ctx, foreign))).toEqual({ state: "finished" });
});

test("an action reaches its functions through the pool, with their results", async () => {
  const at = await stage();
  let isOver = false;
  const through = at.t.action(jobs.through, {}).finally(() => {
    isOver = true;
  });
  await advanceUntil(() => isOver);
  expect(await through).toEqual(["read a", "b", "C"]);
  await advance(5000);
  expect((await at.own("ran")).map(({ name }) => name)).toEqual(["b", "later"]);
  expect(watched.started).not.toContain("never");
  await advance(3_600_000);
  expect(await at.rows("results")).toEqual([]);
  expect(await isIdle(at)).toBe(true);
});
