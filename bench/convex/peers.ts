/** The same workloads on the components that ours are compared with. */
import { Meter } from "../../packages/convex/test/meter.ts";
import { poolScenarios, workerScenarios, type Scenarios } from "./scenarios.ts";
import type { App } from "./scenario.ts";

const modules = import.meta.glob("./peers/**/*.ts");

/** What they ship for tests, as modules that are not checked by our compiler. */
const shipped = import.meta.glob<Shipped>(
  "../../node_modules/@convex-dev/{batch-worker,migrations,workpool}/src/test.ts",
);

const sources = import.meta.glob(
  [
    "../../node_modules/@convex-dev/{batch-worker,migrations,workpool}/src/component/*.ts",
    // Workpool brings a batch-worker of its own.
    "../../node_modules/@convex-dev/workpool/node_modules/@convex-dev/batch-worker/src/component/*.ts",
    "!**/*.test.ts",
  ],
  // Also a folder of modules within a folder of modules.
  { exhaustive: true },
);

interface Shipped {
  readonly register: App["register"];
}

async function install(): Promise<App> {
  for (const [file, load] of Object.entries(sources)) await Meter.over(file, { [file]: load });
  await Meter.over("app", modules);
  const peers = await Promise.all(Object.values(shipped).map((load) => load()));
  return {
    modules,
    register: (t) => {
      for (const { register } of peers) register(t);
    },
  };
}

/** Rows by their names. */
export async function peerScenarios(): Promise<Scenarios> {
  const app = await install();
  return {
    ...poolScenarios(app, "workpool:enqueue"),
    ...workerScenarios(app, "events:add"),
    migrationsRows: {
      app,
      before: { fn: "rows:fill", args: { count: 1000 } },
      fn: "rows:start",
      calls: [{}],
      everyMs: 0,
      items: 1000,
    },
  };
}
