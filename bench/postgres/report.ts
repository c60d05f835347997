/** From runs to what is printed: medians a row, ratios of the same round, targets. */
import type { ServerCost } from "../harness/case.ts";
import { isMet, rowOf, type FailedRow, type Row, type Target } from "../harness/report.ts";
import type { Run } from "../harness/spawn.ts";
import { median, medianRatio, rounded } from "../harness/statistics.ts";
import type { PinnedReport } from "./pinned.ts";
import type { PostgresCase } from "./registry.ts";

/** The medians of a row, the server's part included. */
export interface PostgresRow extends Row {
  readonly serverCpuMicrosPerItem: number | null;
  /** `null` where the server is no PostgreSQL. */
  readonly walBytesPerItem: number | null;
  readonly roundTripsPer1000Items: number | null;
}

/** The rows whose items/s are compared. */
const COMPARED = {
  cycleVsGraphile: ["cycle", "graphile"],
  cycleVsPgBoss: ["cycle", "pg-boss"],
  cycleVsBullmq: ["cycle", "bullmq"],
  cycleVsBullmqSynced: ["cycle", "bullmq-fsync"],
  cycleVsBound: ["cycle", "bound"],
  singleAdd64VsPgBoss: ["add-64", "pg-boss-send-64"],
  twoProcessesVsOne: ["cycle-two-processes", "cycle"],
  groups60VsOne: ["cycle-60-groups", "cycle"],
} as const;

export type Ratio = keyof typeof COMPARED;

/** What the project promises of itself, on a durable server, peers at their best. */
const TARGETS: Readonly<Partial<Record<Ratio, Target>>> = {
  cycleVsGraphile: { atLeast: 8 },
  cycleVsPgBoss: { atLeast: 10 },
  cycleVsBound: { atLeast: 0.5 },
  singleAdd64VsPgBoss: { atLeast: 15 },
  groups60VsOne: { atLeast: 0.4 },
};

export interface PostgresReport {
  /** Medians of same-round ratios of items/s; `null`: not measured. */
  readonly ratios: Readonly<Record<Ratio, number | null>>;
  readonly absolute: Readonly<Record<string, PostgresRow | FailedRow>>;
  readonly targets: Readonly<Record<string, Target & { readonly met: boolean | null }>>;
}

export function report(
  cases: readonly PostgresCase[],
  runs: ReadonlyMap<string, readonly Run[]>,
): PostgresReport {
  const speeds = (name: string): (number | undefined)[] =>
    (runs.get(name) ?? []).map((run) =>
      "result" in run ? run.result.items / run.result.ms : undefined,
    );
  const ratios = Object.fromEntries(
    Object.entries(COMPARED).map(([name, [ours, other]]) => {
      const value = medianRatio(speeds(ours), speeds(other));
      return [name, value === null ? null : rounded(value)];
    }),
  ) as Record<Ratio, number | null>;
  const targets = Object.entries(TARGETS).map(([name, target]) => [
    name,
    { ...target, met: isMet(target, ratios[name as Ratio]) },
  ]);
  const rows = cases.flatMap(({ name }) => {
    const done = runs.get(name) ?? [];
    return done.length === 0 ? [] : [[name, postgresRowOf(done)] as const];
  });
  return {
    ratios,
    absolute: Object.fromEntries(rows),
    targets: Object.fromEntries(targets) as PostgresReport["targets"],
  };
}

const PINNED: Target = { atLeast: 0.85 };

/** What a run under an old snapshot has to come to. */
export function pinnedReport({ pinnedVsFree, ...measured }: PinnedReport): PinnedDocument {
  return {
    ratios: { pinnedVsFree },
    targets: { pinnedVsFree: { ...PINNED, met: isMet(PINNED, pinnedVsFree) } },
    ...measured,
  };
}

export interface PinnedDocument extends Omit<PinnedReport, "pinnedVsFree"> {
  readonly ratios: { readonly pinnedVsFree: number };
  readonly targets: { readonly pinnedVsFree: Target & { readonly met: boolean | null } };
}

function postgresRowOf(runs: readonly Run[]): PostgresRow | FailedRow {
  const row = rowOf(runs);
  if ("failure" in row) return row;
  const each = (pick: (cost: Cost) => number | null): number | null => {
    const values = costs(runs).map(pick);
    const known = values.filter((value) => value !== null);
    return known.length < values.length ? null : rounded(median(known));
  };
  const perItem = (value: number | null, items: number): number | null =>
    value === null ? null : value / items;
  return {
    ...row,
    serverCpuMicrosPerItem: each(({ cpuMs, items }) => perItem(cpuMs, items / 1000)),
    walBytesPerItem: each(({ walBytes, items }) => perItem(walBytes, items)),
    roundTripsPer1000Items: each(({ roundTrips, items }) => perItem(roundTrips, items / 1000)),
  };
}

interface Cost extends ServerCost {
  readonly items: number;
}

function costs(runs: readonly Run[]): Cost[] {
  return runs.flatMap((run) => {
    if (!("result" in run) || run.result.server === undefined) return [];
    return [{ items: run.result.items, ...run.result.server }];
  });
}
