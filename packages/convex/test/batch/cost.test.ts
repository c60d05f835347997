import { beforeAll, expect, test, vi } from "vitest";
import { Meter, useHopLatency } from "../meter.js";
import { advance, advanceUntil, useVirtualTime } from "../stage.js";
import { watched } from "./app/watched.js";
import { events, isEmpty, stage } from "./fixture.js";

useVirtualTime();
useHopLatency(20);

const batch = import.meta.glob(["../../src/batch/*.ts", "!**/convex.config.ts"]);
const app = import.meta.glob("./app/*.ts");

beforeAll(async () => {
  await Meter.over("batch", batch);
  await Meter.over("app", app);
});

test("a thousand items in ten calls cost at most 60 executions", async () => {
  const at = await stage();
  const meter = Meter.start();
  for (let call = 0; call < 10; call++) {
    await at.add(events(100, call * 100 + 1));
    await advance(10);
  }
  meter.counts.set("app/add", 10);
  await advanceUntil(() => isEmpty(at));
  await advance(2000);
  expect(watched.done.flat()).toHaveLength(1000);
  expect(meter.total).toBeLessThanOrEqual(60);
});

test("a thousand single calls cost at most 2,060 executions", async () => {
  // The same draws in every run: a bill has to be the same one twice.
  let state = 1;
  const random = vi.spyOn(Math, "random").mockImplementation(() => {
    state = (state * 48_271) % 2_147_483_647;
    return state / 2_147_483_647;
  });
  const at = await stage();
  const meter = Meter.start();
  for (let i = 1; i <= 1000; i++) {
    await at.add(events(1, i));
    // 100 a second; no wait is shorter than the latency.
    if (i % 2 === 0) await advance(20);
  }
  meter.counts.set("app/add", 1000);
  await advanceUntil(() => isEmpty(at));
  await advance(2000);
  random.mockRestore();
  expect(watched.done.flat()).toHaveLength(1000);
  expect(meter.total).toBeLessThanOrEqual(2060);
});

test("an iterator over a thousand items in pages of 100 costs at most 45 executions", async () => {
  const at = await stage();
  await at.t.run(async (ctx) => {
    for (let n = 1; n <= 1000; n++) await ctx.db.insert("users", { n });
  });
  const meter = Meter.start();
  await at.iterate(100);
  meter.counts.set("app/start", 1);
  await advanceUntil(() => watched.done.flat().length === 1000);
  await advance(5000);
  expect(meter.total).toBeLessThanOrEqual(45);
});
