/** The arithmetic of the benchmark of pools, and one tiny real run of each row of ours. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { CaseResult } from "../harness/case.ts";
import { runCase, type Run } from "../harness/spawn.ts";
import { caseNamed, CASES } from "./registry.ts";
import { report } from "./report.ts";

const CHILD = fileURLToPath(new URL("child.ts", import.meta.url));
const ITEMS = 600;

let root = "";
beforeAll(() => {
  root = mkdtempSync(join(tmpdir(), "batchwork-bench-"));
});

afterAll(() => {
  rmSync(root, { recursive: true, force: true });
});

/** 1,000 items in `ms`. */
function took(ms: number): Run {
  const result: CaseResult = {
    items: 1000,
    ms,
    phases: { add: ms / 2, process: ms / 2 },
    cpuMs: ms,
    peakRssMb: 100,
    commits: 1,
    bytesWritten: 1,
    loopDelayP99Ms: 1,
    durability: "on disk",
  };
  return { result };
}

test("ratios are those of the same round, and of the time over the ideal one", () => {
  const runs = new Map<string, Run[]>([
    ["tasks", [took(10), took(10)]],
    ["plainjob", [took(150), took(150)]],
    ["slow", [took(4400)]],
    ["pg-tasks", [took(20)]],
    ["graphile", [{ failure: "it lost 3 items" }]],
  ]);
  const { ratios, targets, absolute } = report(CASES, runs);
  expect(ratios).toEqual({
    tasksVsPlainjob: 15,
    tasksVsGraphile: null,
    tasksVsPgBoss: null,
    tasksVsBullmq: null,
    tasksVsBullmqSynced: null,
    slowTasksVsIdeal: 1.1,
  });
  expect(targets.tasksVsPlainjob).toEqual({ atLeast: 12, met: true });
  expect(targets.slowTasksVsIdeal).toEqual({ atMost: 1.25, met: true });
  expect(targets.tasksVsPgBoss.met).toBeNull();
  expect(absolute["graphile"]).toEqual({ failure: "it lost 3 items" });
});

test("a row that is not there is named with those that are", () => {
  expect(() => caseNamed("nothing")).toThrow(/no row "nothing"; there are: tasks, plainjob/);
});

test.each(["tasks", "tasks-returning", "tasks-on-complete-batch", "enqueue-64", "slow-1000"])(
  "%s runs every task once",
  async (name) => {
    const run = await runCase({ name, items: ITEMS, rounds: 1, root, script: CHILD });
    expect(run).toMatchObject({ result: { items: ITEMS } });
  },
);
