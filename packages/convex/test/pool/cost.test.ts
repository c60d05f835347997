import { beforeAll, expect, test } from "vitest";
import { Meter, useHopLatency } from "../meter.js";
import { advance, advanceUntil, useVirtualTime } from "../stage.js";
import { watched } from "./app/watched.js";
import { isIdle, jobs, names, stage, type Stage } from "./fixture.js";

useVirtualTime();
useHopLatency(20);

const pool = import.meta.glob(["../../src/pool/*.ts", "!**/convex.config.ts"]);
const app = import.meta.glob("./app/*.ts");

/** Executions of `@convex-dev/workpool` 0.4.12 on the same work at the same latency. */
const WORKPOOL = { calls: 3160, callbacks: 4160, mutations: 4120, singles: 6130, trickle: 38 };

beforeAll(async () => {
  await Meter.over("pool", pool);
  await Meter.over("app", app);
});

async function drain(at: Stage): Promise<void> {
  await advanceUntil(() => isIdle(at));
}

test("a thousand actions in ten calls cost at most 0.36 of Workpool's executions", async () => {
  const meter = Meter.start();
  const at = await stage({ maxParallelism: 100 });
  const all = names(1000);
  for (let call = 0; call < 10; call++) {
    const some = all.slice(call * 100, call * 100 + 100);
    meter.counts.set("app/enqueue", call + 1);
    await at.mutate((ctx) => at.pool.enqueueActionBatch(ctx, jobs.work, some));
    await advance(10);
  }
  await drain(at);
  expect(watched.done).toHaveLength(1000);
  expect(meter.total / WORKPOOL.calls).toBeLessThanOrEqual(0.36);
});

test("a thousand single calls cost at most 0.55 of Workpool's executions", async () => {
  const meter = Meter.start();
  const at = await stage({ maxParallelism: 100 });
  for (const one of names(1000)) {
    await at.mutate((ctx) => at.pool.enqueueAction(ctx, jobs.work, one));
  }
  meter.counts.set("app/enqueue", 1000);
  await drain(at);
  expect(watched.done).toHaveLength(1000);
  expect(meter.total / WORKPOOL.singles).toBeLessThanOrEqual(0.55);
});

test("a thousand mutations in ten calls cost at most 0.35 of Workpool's executions", async () => {
  const meter = Meter.start();
  const at = await stage({ maxParallelism: 100 });
  const all = names(1000);
  for (let call = 0; call < 10; call++) {
    const some = all.slice(call * 100, call * 100 + 100);
    meter.counts.set("app/enqueue", call + 1);
    await at.mutate((ctx) => at.pool.enqueueMutationBatch(ctx, jobs.write, some));
    await advance(10);
  }
  await drain(at);
  expect(meter.total / WORKPOOL.mutations).toBeLessThanOrEqual(0.35);
});

test("one action every five seconds costs at most 0.25 of Workpool's executions", async () => {
  const meter = Meter.start();
  const at = await stage({ maxParallelism: 10 });
  for (const one of names(20)) {
    await at.mutate((ctx) => at.pool.enqueueAction(ctx, jobs.work, one));
    await advance(5000);
  }
  meter.counts.set("app/enqueue", 20);
  await drain(at);
  expect(meter.total / 20 / WORKPOOL.trickle).toBeLessThanOrEqual(0.25);
});

test("a thousand actions with callbacks cost at most 0.55 of Workpool's executions", async () => {
  const meter = Meter.start();
  const at = await stage({ maxParallelism: 100 });
  const all = names(1000);
  for (let call = 0; call < 10; call++) {
    const some = all.slice(call * 100, call * 100 + 100);
    meter.counts.set("app/enqueue", call + 1);
    await at.mutate((ctx) =>
      at.pool.enqueueActionBatch(ctx, jobs.work, some, { onComplete: jobs.ended }),
    );
    await advance(10);
  }
  await drain(at);
  expect(meter.total / WORKPOOL.callbacks).toBeLessThanOrEqual(0.55);
});
