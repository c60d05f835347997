/** The cost report: what it promises holds, and it says the same every time. */
import { beforeAll, expect, test } from "vitest";
import { committedPeers } from "./main.ts";
import { ourScenarios } from "./ours.ts";
import { report, type ConvexReport } from "./report.ts";
import { measure, type Cost } from "./scenario.ts";
import type { Scenarios } from "./scenarios.ts";
import { convexTables } from "./table.ts";

let scenarios: Scenarios = {};
const rows: Record<string, Cost> = {};
let measured: ConvexReport;

beforeAll(async () => {
  scenarios = await ourScenarios();
  for (const [name, scenario] of Object.entries(scenarios)) rows[name] = await measure(scenario);
  measured = report(rows, committedPeers());
}, 300_000);

test("every ratio to the peers and every absolute figure is within its target", () => {
  const missed = Object.entries(measured.targets).filter(([, { met }]) => met !== true);
  expect(missed).toEqual([]);
});

test("a workload costs the same every time, to the byte", async () => {
  const { poolCallsOnComplete } = scenarios;
  if (poolCallsOnComplete === undefined) throw new Error("the row is gone");
  expect(await measure(poolCallsOnComplete)).toEqual(rows["poolCallsOnComplete"]);
});

test("the peers' figures are committed with the versions they are of", () => {
  const { versions, hopMs } = committedPeers();
  expect(versions).toMatchObject({
    "@convex-dev/workpool": "0.4.12",
    "@convex-dev/batch-worker": "0.3.4",
    "@convex-dev/migrations": "0.3.6",
  });
  expect(hopMs).toBe(20);
});

test("a target that is missed is called missed, however it is rounded", () => {
  const { poolCalls } = committedPeers().rows;
  if (poolCalls === undefined) throw new Error("the row is gone");
  const { executions } = poolCalls;
  const close = { ...poolCalls, executions: executions * 0.36004 };
  const { ratios, targets } = report({ poolCalls: close }, committedPeers());
  expect(ratios["poolCalls"]).toBe(0.36);
  expect(targets["poolCalls"]).toEqual({ atMost: 0.36, met: false });
  expect(targets["poolTrickle"]).toEqual({ atMost: 0.25, met: null });
});

test("the tables name every row, the peers' too", () => {
  const text = convexTables(measured);
  for (const name of Object.keys(rows)) expect(text).toContain(name);
  expect(text).toContain("peer: migrationsRows");
});
