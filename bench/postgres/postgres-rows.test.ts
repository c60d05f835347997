/** The arithmetic of the PostgreSQL benchmark, and one tiny real run of each of its rows. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, inject, test } from "vitest";
import type { CaseResult } from "../harness/case.ts";
import type { Run } from "../harness/spawn.ts";
import { ratiosTable } from "../harness/table.ts";
import { measureOn } from "./measure-on.ts";
import { pinned } from "./pinned.ts";
import { CASES, caseNamed } from "./registry.ts";
import { pinnedReport, report } from "./report.ts";
import { databasesOn } from "./server.ts";
import { pinnedTable, rowsTable } from "./table.ts";

const server = inject("postgres");
const describePostgres = "url" in server ? describe : describe.skip;
const withDatabases = databasesOn("url" in server ? server.url : "");

/** A run starts several processes, and may share the machine with many others. */
const PATIENCE_MS = 120_000;

describe("the report of the PostgreSQL benchmark", () => {
  test("compares the rows of a round, and says what an item has cost the server", () => {
    const runs = new Map([
      ["cycle", [100, 200, 400].map((ms) => ({ result: result(ms) }))],
      ["bound", [50, 150, 100].map((ms) => ({ result: result(ms) }))],
      ["graphile", [500, 1000, 2000].map((ms) => ({ result: result(ms) }))],
      ["cycle-two-processes", [50, 100, 200].map((ms) => ({ result: result(ms) }))],
    ]);
    const cases = CASES.filter(({ name }) => runs.has(name));
    const measured = report(cases, runs);
    expect(measured.ratios).toMatchObject({
      cycleVsBound: 0.5,
      cycleVsGraphile: 5,
      cycleVsPgBoss: null,
      twoProcessesVsOne: 2,
    });
    expect(measured.targets["cycleVsBound"]).toEqual({ atLeast: 0.5, met: true });
    expect(measured.targets["cycleVsGraphile"]).toEqual({ atLeast: 8, met: false });
    expect(measured.absolute["cycle"]).toMatchObject({
      itemsPerSecond: 5000,
      serverCpuMicrosPerItem: 30,
      walBytesPerItem: 250,
      commitsPer1000Items: 4,
      roundTripsPer1000Items: 5,
    });
    expect(rowsTable(cases, measured)).toMatch(/cycle, calls of 500.*5,000.*250/);
    expect(ratiosTable(measured)).toMatch(/twoProcessesVsOne.*2/);
  });

  test("leaves out the CPU of a server that runs elsewhere, and shows why a row failed", () => {
    const away = { ...result(10), server: { ...SERVER, cpuMs: null } };
    const runs = new Map([
      ["cycle", [{ result: away }]],
      ["pg-boss", [{ failure: "it lost 3 items" }]],
    ]);
    const cases = [caseNamed("cycle"), caseNamed("pg-boss")];
    const measured = report(cases, runs);
    expect(measured.absolute["cycle"]).toMatchObject({ serverCpuMicrosPerItem: null });
    expect(rowsTable(cases, measured)).toContain("FAILED: it lost 3 items");
  });
});

describePostgres("tiny real runs on PostgreSQL", () => {
  let root = "";
  beforeAll(() => {
    root = mkdtempSync(join(tmpdir(), "batchwork-bench-"));
  });

  afterAll(() => {
    rmSync(root, { recursive: true, force: true });
  });

  test.each(CASES.filter(({ missing }) => missing === undefined).map(({ name }) => name))(
    "%s delivers every item once",
    async (name) => {
      const runs = await tiny(name, 1);
      expect(runs).toMatchObject([RAN]);
    },
    PATIENCE_MS,
  );

  test(
    "a row warms up where it has warmed up before",
    async () => {
      const runs = await tiny("cycle", 2);
      expect(runs).toMatchObject([RAN, RAN]);
    },
    PATIENCE_MS,
  );

  async function tiny(name: string, rounds: number): Promise<Run[] | undefined> {
    const row = { ...caseNamed(name), quick: ITEMS };
    const progress = (): void => undefined;
    const runs = await measureOn(withDatabases, [row], { rounds, quick: true, root, progress });
    return runs.get(name);
  }

  test(
    "an old snapshot is held while both sides work, and both are reported",
    async () => {
      const said: string[] = [];
      const measured = await withDatabases(2, async ([held = "", free = ""]) =>
        pinned({
          pinned: held,
          free,
          windows: 2,
          windowMs: 100,
          last: 1,
          progress: (text) => {
            said.push(text);
          },
        }),
      );
      expect(said).toHaveLength(2);
      expect(measured.windows.every((window) => window.pinned > 0 && window.free > 0)).toBe(true);
      expect(measured.tables.pinned.map(({ table }) => table)).toContain("payloads");
      const { ratios, targets } = pinnedReport(measured);
      expect(ratios.pinnedVsFree).toBeGreaterThan(0);
      expect(targets.pinnedVsFree.met).toBe(ratios.pinnedVsFree >= 0.85);
      expect(pinnedTable(measured)).toContain("payloads");
    },
    PATIENCE_MS,
  );
});

const ITEMS = 600;
const RAN = {
  result: {
    items: ITEMS,
    durability: expect.stringMatching(/disk|lost/) as string,
    server: { walBytes: expect.any(Number) as number, commits: expect.any(Number) as number },
  },
};

const SERVER = { walBytes: 250_000, commits: 4, roundTrips: 5, cpuMs: 30 };

/** 1,000 items in `ms`, half of it adding. */
function result(ms: number): CaseResult {
  return {
    items: 1000,
    ms,
    phases: { add: ms / 2, process: ms / 2 },
    cpuMs: 50,
    peakRssMb: 100,
    commits: SERVER.commits,
    bytesWritten: 0,
    loopDelayP99Ms: 1,
    durability: "none",
    server: SERVER,
  };
}
