import { expect, test } from "vitest";
import { advance, advanceUntil, useVirtualTime } from "../stage.js";
import { watched } from "./app/watched.js";
import { crash, isIdle, jobs, names, stage } from "./fixture.js";

useVirtualTime();

const RETRY = { maxAttempts: 2, initialBackoffMs: 10, base: 2 };

test("an executor that dies is found out within seconds, and an action without retries fails", async () => {
  const at = await stage();
  await at.mutate((ctx) =>
    at.pool.enqueueAction(ctx, jobs.hang, { name: "a" }, { onComplete: jobs.ended }),
  );
  await advance(200);
  expect(watched.started).toEqual(["a"]);
  await crash(at);
  await advance(3000);
  const results = (await at.own("ended")).map(({ result }) => result as { error: string });
  expect(results).toMatchObject([{ kind: "failed" }]);
  expect(results[0]?.error).toContain("may have been carried out");
  await advanceUntil(() => isIdle(at));
  expect(await at.rows("work")).toEqual([]);
  expect(await at.rows("dead")).toHaveLength(1);
});

test("an action with retries runs again, alone, and is given up after three crashes more", async () => {
  const at = await stage();
  await at.mutate((ctx) =>
    at.pool.enqueueAction(ctx, jobs.hang, { name: "a" }, { retry: RETRY, onComplete: jobs.ended }),
  );
  for (let starts = 1; starts <= 4; starts++) {
    await advanceUntil(() => watched.started.length === starts);
    await crash(at);
  }
  await advanceUntil(() => isIdle(at));
  await advance(60_000);
  expect(watched.started).toHaveLength(4);
  expect(await at.own("ended")).toMatchObject([{ result: { kind: "failed" } }]);
  await advanceUntil(() => isIdle(at));
  expect(await at.rows("work")).toEqual([]);
  expect(await at.rows("dead")).toHaveLength(1);
});

test("what the dead executor had not taken is not touched by its crash", async () => {
  const at = await stage({ maxParallelism: 1 });
  await at.mutate((ctx) =>
    at.pool.enqueueAction(ctx, jobs.hang, { name: "first" }, { onComplete: jobs.ended }),
  );
  await advance(200);
  await at.mutate((ctx) => at.pool.enqueueActionBatch(ctx, jobs.work, names(5)));
  await advance(500);
  await crash(at);
  await advance(3000);
  await advanceUntil(() => isIdle(at));
  expect(watched.done).toEqual(["a1", "a2", "a3", "a4", "a5"]);
  expect(await at.own("ended")).toHaveLength(1);
});

test("a superseded executor that comes back settles nothing", async () => {
  const at = await stage();
  const ids = await at.mutate((ctx) =>
    at.pool.enqueueActionBatch(ctx, jobs.work, [{ name: "a", ms: 60_000 }], {
      retry: RETRY,
      onComplete: jobs.ended,
    }),
  );
  await advance(200);
  const [lost] = await at.rows("executors");
  // The lease is gone, and the function that had it runs on.
  await at.inside((ctx) => ctx.db.delete(lost?.["_id"] as never));
  await advance(70_000);
  expect(watched.done).toEqual(["a"]);
  expect(await at.own("ended")).toEqual([]);
  expect(await at.states(ids)).toEqual(["running"]);
});

test("a long action is left alone, however often the watch looks", async () => {
  const at = await stage();
  await at.mutate((ctx) => at.pool.enqueueAction(ctx, jobs.work, { name: "a", ms: 9 * 60_000 }));
  await advance(8 * 60_000);
  expect(watched.started).toEqual(["a"]);
  await advance(2 * 60_000);
  expect(watched.started).toEqual(["a"]);
  expect(watched.done).toEqual(["a"]);
  expect(await isIdle(at)).toBe(true);
});

test("a turn of the loop that is lost is found by the monitor", async () => {
  const at = await stage();
  await at.mutate((ctx) => at.pool.enqueueAction(ctx, jobs.work, { name: "a" }));
  const [gate] = await at.rows("gate");
  await at.inside((ctx) => ctx.scheduler.cancel(gate?.["run"] as never));
  await advance(50_000);
  expect(watched.started).toEqual([]);
  await advance(15_000);
  expect(watched.done).toEqual(["a"]);
});
