/** The workloads on our components. */
import { register as registerPool } from "../../packages/convex/src/test/pool.ts";
import { Meter } from "../../packages/convex/test/meter.ts";
import { register as registerBatch } from "../../packages/convex/src/test/batch.ts";
import { register as registerWorker } from "../../packages/convex/src/test/worker.ts";
import { poolScenarios, request, workerScenarios, type Scenarios } from "./scenarios.ts";
import type { App } from "./scenario.ts";

const modules = import.meta.glob("./ours/**/*.ts");

const sources = import.meta.glob("../../packages/convex/src/{batch,pool,worker}/*.ts");

/** The app with our components, every function of it counted. */
async function install(): Promise<App> {
  await Meter.over("components", sources);
  await Meter.over("app", modules);
  return {
    modules,
    register: (t) => {
      registerBatch(t);
      registerPool(t);
      registerWorker(t);
    },
  };
}

/** Rows by their names. */
export async function ourScenarios(): Promise<Scenarios> {
  const app = await install();
  const ten = Array.from({ length: 10 }, () => ({ count: 100 }));
  const singles = Array.from({ length: 1000 }, () => ({ count: 1 }));
  const parallel = (ms: number, count: number): object =>
    request({ count, ms, maxParallelism: 10 });
  return {
    ...poolScenarios(app, "pool:enqueue"),
    poolCallsOnCompleteIsolated: poolScenarios(app, "pool:enqueue", { isolate: true })
      .poolCallsOnComplete,
    poolMutationsIsolated: poolScenarios(app, "pool:enqueue", { isolate: true }).poolMutations,
    ...workerScenarios(app, "events:add"),
    batchWorkpool: { app, fn: "tasks:enqueue", calls: ten, everyMs: 10, items: 1000 },
    addItemsCalls: { app, fn: "groups:add", calls: ten, everyMs: 10, items: 1000 },
    addItemsSingles: { app, fn: "groups:add", calls: singles, everyMs: 10, items: 1000 },
    iterator: {
      app,
      before: { fn: "groups:fill", args: { count: 1000 } },
      fn: "groups:iterate",
      calls: [{}],
      everyMs: 0,
      items: 1000,
    },
    poolParallel10: {
      app,
      fn: "pool:enqueue",
      calls: [parallel(100, 1000)],
      everyMs: 0,
      items: 1000,
    },
    poolOneSlow: {
      app,
      fn: "pool:enqueue",
      calls: [parallel(60_000, 1), parallel(100, 999)],
      everyMs: 0,
      items: 1000,
    },
  };
}
