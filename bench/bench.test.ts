/** The benchmark's own arithmetic and checks, and one tiny real run of each row of ours. */
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { medianOf } from "./cases/median-of.ts";
import { CASES, caseNamed } from "./cases/registry.ts";
import { FEATURE_CASES } from "./features/registry.ts";
import type { CaseResult } from "./harness/case.ts";
import { Deliveries } from "./harness/deliveries.ts";
import { item, ITEM_BYTES, slices } from "./harness/items.ts";
import type { Machine } from "./harness/machine.ts";
import { page } from "./harness/markdown.ts";
import { measure } from "./harness/measure.ts";
import { report, rowOf } from "./harness/report.ts";
import { runCase, type Run } from "./harness/spawn.ts";
import { durabilityOf } from "./harness/sqlite-facts.ts";
import { median, medianRatio, quantile } from "./harness/statistics.ts";
import { featuresTable, ratiosTable, rowsTable } from "./harness/table.ts";

let root = "";
beforeAll(() => {
  root = mkdtempSync(join(tmpdir(), "batchwork-bench-"));
});

afterAll(() => {
  rmSync(root, { recursive: true, force: true });
});

describe("statistics", () => {
  test("takes the middle value, or the mean of the two middle ones", () => {
    expect(median([9, 1, 5])).toBe(5);
    expect(median([4, 1, 3, 2])).toBe(2.5);
  });

  test("takes the quantile that so many of the values do not exceed", () => {
    const hundred = Array.from({ length: 100 }, (_, n) => 100 - n);
    expect(quantile(hundred, 0.5)).toBe(50);
    expect(quantile(hundred, 0.99)).toBe(99);
    expect(quantile([7], 0.99)).toBe(7);
  });

  test("takes the median of ratios of the same round, not the ratio of medians", () => {
    expect(medianRatio([10, 40, 90], [10, 20, 30])).toBe(2);
    expect(medianRatio([1, 100, 4], [2, 10, 4])).toBe(1);
  });

  test("leaves out a round that lacks a side", () => {
    expect(medianRatio([10, undefined, 30], [5, 5, undefined])).toBe(2);
    expect(medianRatio([1], [])).toBeNull();
  });
});

describe("items", () => {
  test("have 200 bytes and 9 fields, whatever their number and group", () => {
    for (const [id, groups] of [
      [0, 1],
      [99, 60],
      [999_999, 1000],
    ] as const) {
      const made = item(id, groups);
      expect(JSON.stringify(made)).toHaveLength(ITEM_BYTES);
      expect(Object.keys(made)).toHaveLength(9);
    }
  });

  test("come in slices that leave none out", () => {
    expect([...slices([1, 2, 3, 4, 5], 2)]).toEqual([[1, 2], [3, 4], [5]]);
  });
});

describe("the check of deliveries", () => {
  test("passes when each item came once", async () => {
    const deliveries = new Deliveries(2);
    deliveries.mark(1);
    deliveries.mark(0);
    await expect(deliveries.complete).resolves.toBeUndefined();
    expect(() => deliveries.verify()).not.toThrow();
  });

  test("fails when an item is lost, and when one comes twice", () => {
    const deliveries = new Deliveries(3);
    deliveries.mark(0);
    deliveries.mark(0);
    expect(() => deliveries.verify()).toThrow("of 3 items 2 were lost and 1 came more than once");
    expect(() => deliveries.mark(3)).toThrow("never added");
  });
});

describe("a row", () => {
  test("that loses an item fails, and says so", async () => {
    const lost = await run(`
      import { Deliveries } from ${DELIVERIES};
      const check = new Deliveries(10);
      for (let id = 0; id < 9; id++) check.mark(id);
      check.verify();`);
    expect(lost).toEqual({ failure: "Error: of 10 items 1 were lost and 0 came more than once" });
  });

  test("that waits for an item for ever fails, busy or not", async () => {
    const stuck = "await new Promise(() => {});";
    await expect(run(stuck)).resolves.toEqual({ failure: "stopped with items undelivered" });
    const busy = "setInterval(() => {}, 1000);";
    const failure = "ended by SIGKILL: it took too long";
    await expect(run(busy, 1500)).resolves.toEqual({ failure });
  });

  test("has no numbers when one of its rounds failed, and the table shows why", () => {
    const failed = { failure: "it lost 3 items" };
    expect(rowOf([{ result: result(10) }, failed])).toEqual(failed);
    const cases = [caseNamed("cycle")];
    const measured = report(cases, new Map([["cycle", [{ result: result(10) }, failed]]]));
    expect(rowsTable(cases, measured)).toContain("FAILED: it lost 3 items");
  });
});

describe("the rounds", () => {
  test("run the rows of a race twice, in turn, and the others once", async () => {
    const order: string[] = [];
    const cases = [
      { name: "a", race: "x" },
      { name: "b", race: "x" },
      { name: "c" },
      { name: "d", race: "y" },
    ].map((row) => ({ ...row, quick: 1, full: 1 }));
    const runs = await measure({
      cases,
      rounds: 2,
      quick: true,
      root: "",
      run: async ({ name }) => {
        order.push(name);
        return { result: result(10) };
      },
      progress: () => undefined,
    });
    expect(order.join("")).toBe("ababcdababcd");
    expect(runs.get("a")).toHaveLength(4);
    expect(runs.get("d")).toHaveLength(2);
  });
});

describe("a row that is close to its target", () => {
  test("runs several times in its process, and the run in the middle counts", async () => {
    const took = [30, 10, 50, 20, 40];
    const directories = new Set<string>();
    const run = medianOf(took.length, async ({ directory }) => {
      directories.add(directory);
      expect(readdirSync(directory)).toEqual([]);
      return result(took[directories.size - 1] as number);
    });
    const directory = mkdtempSync(join(root, "median-"));
    await expect(run({ directory, items: 1000, rounds: 1 })).resolves.toMatchObject({ ms: 30 });
    expect(directories.size).toBe(5);
  });
});

describe("the report", () => {
  test("compares rounds with each other and with the targets", () => {
    const runs = new Map([
      ["cycle", [100, 200, 400].map((ms) => ({ result: result(ms) }))],
      ["bound", [50, 150, 100].map((ms) => ({ result: result(ms) }))],
      ["plainjob", [1000, 2000, 4000].map((ms) => ({ result: result(ms) }))],
    ]);
    const cases = CASES.filter(({ name }) => runs.has(name));
    const { ratios, targets, absolute } = report(cases, runs);
    expect(ratios.cycleVsBound).toBe(0.5);
    expect(targets.cycleVsBound).toEqual({ atLeast: 0.5, met: true });
    expect(ratios.cycleVsPlainjob).toBe(10);
    expect(targets.cycleVsPlainjob.met).toBe(false);
    expect(ratios.cycleVsRows).toBeNull();
    expect(absolute["cycle"]).toMatchObject({
      itemsPerSecond: 5000,
      addPerSecond: 10_000,
      cpuMicrosPerItem: 50,
      commitsPer1000Items: 4,
    });
    expect(ratiosTable({ ratios, targets })).toMatch(/cycleVsPlainjob.*10.*≥ 15.*NO/);
  });

  test("becomes a page with every ratio and every row", () => {
    const cases = [caseNamed("cycle"), caseNamed("rows")];
    const failed = { failure: "it lost 3 items" };
    const runs = new Map<string, Run[]>([
      ["cycle", [{ result: result(100) }]],
      ["rows", [failed]],
    ]);
    const text = page(cases, report(cases, runs), MACHINE, "2026-11-30");
    expect(text).toContain("Measured 2026-11-30 on a processor, 2 cores, 8 GB, ext4");
    expect(text).toContain("| cycleVsBound | – | ≥ 0.5 | – |");
    expect(text).toContain("| cycle, calls of 500 | 10,000 | 20,000 | 20,000 | 50 | 100 | none |");
    expect(text).toContain("FAILED: it lost 3 items");
  });

  test("compares the median latencies, loaded with empty", () => {
    const latency = { ...result(10), latency: [1.2, 1.6, 2].map(latencyRound) };
    const runs = new Map([["add-latency", [{ result: latency }]]]);
    const { ratios, targets } = report([caseNamed("add-latency")], runs);
    expect(ratios.addLatency1MVs0).toBe(1.6);
    expect(targets.addLatency1MVs0).toEqual({ atMost: 1.5, met: false });
  });

  test("tells what a synchronous setting is worth", () => {
    expect(durabilityOf(2)).toContain("on disk at each commit");
    expect(durabilityOf(1)).toContain("lost on power failure");
  });
});

describe("rows of features", () => {
  test.each(FEATURE_CASES.map((row) => row.name))("%s runs with all its items", async (name) => {
    const directory = mkdtempSync(join(root, "feature-"));
    const run = await caseNamed(name).load();
    const { items, durability } = await run({ directory, items: 600, rounds: 1 });
    expect([items, durability]).toEqual([600, expect.stringContaining("on disk at each commit")]);
  });

  test("are compared with the row without one, round by round", () => {
    const runs = new Map([
      ["feature-none", [100, 200].map((ms) => ({ result: result(ms) }))],
      ["feature-throttle", [200, 250].map((ms) => ({ result: result(ms) }))],
    ]);
    const measured = report([caseNamed("feature-none"), caseNamed("feature-throttle")], runs);
    expect(measured.features["throttle"]).toBe(0.65);
    expect(measured.features["tags"]).toBeNull();
    expect(featuresTable(measured)).toMatch(/throttle.*0\.65/);
    expect(featuresTable({ features: { throttle: null } })).toBe("");
  });
});

describe("tiny real runs", () => {
  const ours = CASES.filter(({ name }) => /^(?:cycle|add|memory)/.test(name));

  test.each(ours.map(({ name }) => name))("%s delivers every item once", async (name) => {
    const row = { ...caseNamed(name), quick: 500 };
    const runs = await measure({ cases: [row], rounds: 1, quick: true, root, progress: ignore });
    const durability = name.startsWith("memory") ? "none" : "synchronous=FULL";
    expect(runs.get(name)).toMatchObject([
      { result: { items: 500, durability: expect.stringContaining(durability) as string } },
    ]);
  });
});

const DELIVERIES = JSON.stringify(fileURLToPath(new URL("harness/deliveries.ts", import.meta.url)));

/** Runs a script as the harness runs a row. */
async function run(script: string, timeoutMs = 20_000): Promise<Run> {
  const path = join(root, "row.mjs");
  writeFileSync(path, script);
  return runCase({ name: "cycle", items: 10, rounds: 1, root, script: path, timeoutMs });
}

const MACHINE: Machine = {
  cpu: "a processor",
  cores: 2,
  memoryGb: 8,
  platform: "linux x64",
  node: "v24.0.0",
  sqlite: "3.53.4",
  fs: "ext4",
  fdatasyncMs: 0.2,
};

function ignore(): void {
  // The progress of a tiny run interests nobody.
}

/** 1,000 items in `ms`, half of it adding. */
function result(ms: number): CaseResult {
  return {
    items: 1000,
    ms,
    phases: { add: ms / 2, process: ms / 2 },
    cpuMs: 50,
    peakRssMb: 100,
    commits: 4,
    bytesWritten: 200_000,
    loopDelayP99Ms: 1,
    durability: "none",
  };
}

function latencyRound(loaded: number): NonNullable<CaseResult["latency"]>[number] {
  const pair = { empty: { p50: 1, p99: 2 }, loaded: { p50: loaded, p99: 2 } };
  return { add: pair, addBulk100: pair };
}
