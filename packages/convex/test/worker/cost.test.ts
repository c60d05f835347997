import { beforeAll, expect, test } from "vitest";
import { Meter, useHopLatency } from "../meter.js";
import { advance, advanceUntil, useVirtualTime } from "../stage.js";
import { watched } from "./app/watched.js";
import { stage } from "./fixture.js";

useVirtualTime();
useHopLatency(20);

const worker = import.meta.glob(["../../src/worker/*.ts", "!**/convex.config.ts"]);
const app = import.meta.glob("./app/*.ts");

/** Executions per item of `@convex-dev/batch-worker` 0.3.4 on the same work and latency. */
const BATCH_WORKER = { burst: 2.05, trickle: 28 };

beforeAll(async () => {
  await Meter.over("worker", worker);
  await Meter.over("app", app);
});

test("a burst of a thousand pings costs no more than Batch Worker's executions", async () => {
  const at = await stage();
  watched.batchSize = 100;
  const meter = Meter.start();
  for (let value = 0; value < 1000; value++) await at.add(value);
  await advanceUntil(async () => (await at.rows("workers"))[0]?.["state"] === "idle");
  expect(await at.handled()).toHaveLength(1000);
  expect(meter.total / 1000 / BATCH_WORKER.burst).toBeLessThanOrEqual(1);
});

test("one item every five seconds costs at most 0.3 of Batch Worker's executions", async () => {
  const at = await stage();
  const meter = Meter.start();
  for (let value = 0; value < 24; value++) {
    await at.add(value);
    await advance(5000);
  }
  expect(await at.handled()).toHaveLength(24);
  expect(meter.total / 24 / BATCH_WORKER.trickle).toBeLessThanOrEqual(0.3);
});
