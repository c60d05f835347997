import { beforeAll, expect, test } from "vitest";
import { Meter, useHopLatency } from "../meter.js";
import { advance, advanceUntil, useVirtualTime } from "../stage.js";
import { tasks } from "./app/tasks.js";
import { watched } from "./app/watched.js";
import { crash, isIdle, jobs, names, stage } from "./fixture.js";

useVirtualTime();
useHopLatency(20);

beforeAll(async () => {
  const component = import.meta.glob(["../../src/pool/*.ts", "!**/convex.config.ts"]);
  await Meter.over("pool", component);
  await Meter.over("app", import.meta.glob("./app/*.ts"));
});

test("a thousand tasks in ten calls cost at most 120 executions", async () => {
  const meter = Meter.start();
  const at = await stage();
  const all = names(1000).map((args) => ({ name: "greet", args }));
  for (let call = 0; call < 10; call++) {
    meter.counts.set("app/enqueue", call + 1);
    await at.mutate((ctx) => tasks.enqueueBatch(ctx, all.slice(call * 100, call * 100 + 100)));
    await advance(10);
  }
  await advanceUntil(() => isIdle(at));
  expect(new Set(watched.done).size).toBe(1000);
  expect(meter.total).toBeLessThanOrEqual(120);
});

test("a task's result goes to onComplete", async () => {
  const at = await stage();
  const id = await at.mutate((ctx) =>
    tasks.enqueue(ctx, "greet", { name: "a" }, { onComplete: jobs.ended, context: 1 }),
  );
  await advanceUntil(() => isIdle(at));
  expect(await at.own("ended")).toMatchObject([
    { workId: id, context: 1, result: { kind: "success", returnValue: "hello a" } },
  ]);
});

test("a task of an hour runs once: no claim of it ends by time", async () => {
  const at = await stage();
  await at.mutate((ctx) => tasks.enqueue(ctx, "greet", { name: "a", ms: 3_600_000 }));
  await advance(3_610_000);
  expect(watched.started).toEqual(["a"]);
  expect(watched.done).toEqual(["a"]);
  expect(await isIdle(at)).toBe(true);
});

test("tasks of an executor that dies run again, each in an executor of its own", async () => {
  const at = await stage();
  await at.mutate((ctx) =>
    tasks.enqueueBatch(ctx, [
      { name: "greet", args: { name: "slow", ms: 30_000 } },
      { name: "greet", args: { name: "other", ms: 30_000 }, options: {} },
    ]),
  );
  await advance(1000);
  await crash(at);
  await advance(5000);
  expect(watched.started.toSorted()).toEqual(["other", "other", "slow", "slow"]);
  expect(await at.rows("executors")).toHaveLength(2);
});

test("a name that nobody registered fails its task, and says what is known", async () => {
  const at = await stage();
  await at.mutate((ctx) => tasks.enqueue(ctx, "greeet", { name: "a" }, { onComplete: jobs.ended }));
  await advanceUntil(() => isIdle(at));
  const [end] = await at.own("ended");
  expect(JSON.stringify(end)).toContain("known: greet");
});
