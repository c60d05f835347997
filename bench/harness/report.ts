/** From runs to what is printed: medians a row, ratios of the same round, targets. */
import { featureRatios } from "../features/registry.ts";
import type { BenchCase, CaseResult, LatencyPair } from "./case.ts";
import type { Run } from "./spawn.ts";
import { median, medianRatio, rounded } from "./statistics.ts";

/** The runs of each row, one per round. */
export type Runs = ReadonlyMap<string, readonly Run[]>;

/** The medians of a row. */
export interface Row {
  readonly items: number;
  readonly itemsPerSecond: number;
  readonly addPerSecond: number | null;
  readonly processPerSecond: number | null;
  readonly cpuMicrosPerItem: number;
  readonly peakRssMb: number;
  readonly commitsPer1000Items: number | null;
  readonly bytesWrittenPerItem: number | null;
  readonly loopDelayP99Ms: number | null;
  readonly durability: string;
  readonly itemsPerSecondByRound: readonly number[];
  readonly latencyMs?: { readonly add: LatencyPair; readonly addBulk100: LatencyPair };
}

export interface FailedRow {
  readonly failure: string;
}

export type Ratio =
  | "cycleVsBound"
  | "cycleVsPlainjob"
  | "cycleVsRows"
  | "groups60VsOne"
  | "groups1000VsOne"
  | "failing5pctVsNone"
  | "singleAdd256VsPlainjob"
  | "memoryVsDataloader"
  | "addLatency1MVs0";

/** What a ratio has to be. */
export interface Target {
  readonly atLeast?: number;
  readonly atMost?: number;
}

/** What the project promises of itself; `synchronous=FULL` on our side, peers as they ship. */
const TARGETS: Readonly<Record<Ratio, Target>> = {
  cycleVsBound: { atLeast: 0.5 },
  cycleVsPlainjob: { atLeast: 15 },
  cycleVsRows: { atLeast: 1.8 },
  groups60VsOne: { atLeast: 0.5 },
  groups1000VsOne: { atLeast: 0.1 },
  failing5pctVsNone: { atLeast: 0.5 },
  singleAdd256VsPlainjob: { atLeast: 5 },
  memoryVsDataloader: { atLeast: 0.8 },
  addLatency1MVs0: { atMost: 1.5 },
};

export interface Report {
  /** Medians of same-round ratios of items/s (of latencies for the last); `null`: not measured. */
  readonly ratios: Readonly<Record<Ratio, number | null>>;
  readonly absolute: Readonly<Record<string, Row | FailedRow>>;
  readonly targets: Readonly<Record<Ratio, Target & { readonly met: boolean | null }>>;
  /** Speed of a cycle with a feature, as a part of that of one without. */
  readonly features: Readonly<Record<string, number | null>>;
}

export function report(cases: readonly BenchCase[], runs: Runs): Report {
  const measured = ratios(runs);
  return {
    ratios: measured,
    features: featureRatios(runs),
    absolute: Object.fromEntries(
      cases.flatMap(({ name }) => {
        const done = runs.get(name) ?? [];
        return done.length === 0 ? [] : [[name, rowOf(done)]];
      }),
    ),
    targets: Object.fromEntries(
      Object.entries(TARGETS).map(([name, target]) => [
        name,
        { ...target, met: isMet(target, measured[name as Ratio]) },
      ]),
    ) as Report["targets"],
  };
}

/** The medians of a row, or why it has none: one failed run fails the row. */
export function rowOf(runs: readonly Run[]): Row | FailedRow {
  const results: CaseResult[] = [];
  for (const run of runs) {
    if ("failure" in run) return run;
    results.push(run.result);
  }
  const [first] = results;
  if (first === undefined) return { failure: "it was not run" };
  const perSecond = results.map(speed);
  const each = (pick: (result: CaseResult) => number | null | undefined): number | null => {
    const values = results.map(pick).filter((value) => typeof value === "number");
    return values.length < results.length ? null : rounded(median(values));
  };
  const phase = (name: string): number | null =>
    each(({ items, phases }) => {
      const ms = phases[name];
      return ms === undefined ? null : (items / ms) * 1000;
    });
  const latency = results.flatMap((result) => result.latency ?? []);
  const row: Row = {
    items: first.items,
    itemsPerSecond: rounded(median(perSecond)),
    addPerSecond: phase("add"),
    processPerSecond: phase("process"),
    cpuMicrosPerItem: each(({ cpuMs, items }) => (cpuMs * 1000) / items) ?? Number.NaN,
    peakRssMb: each(({ peakRssMb }) => peakRssMb) ?? Number.NaN,
    commitsPer1000Items: each((r) => (r.commits === null ? null : (r.commits * 1000) / r.items)),
    bytesWrittenPerItem: each((r) => (r.bytesWritten === null ? null : r.bytesWritten / r.items)),
    loopDelayP99Ms: each((r) => r.loopDelayP99Ms),
    durability: [...new Set(results.map((result) => result.durability))].join("; "),
    itemsPerSecondByRound: perSecond.map((value) => rounded(value)),
  };
  if (latency.length === 0) return row;
  const latencyMs = {
    add: medianPair(latency.map(({ add }) => add)),
    addBulk100: medianPair(latency.map(({ addBulk100 }) => addBulk100)),
  };
  return { ...row, latencyMs };
}

function speed({ items, ms }: CaseResult): number {
  return (items / ms) * 1000;
}

function medianPair(pairs: readonly LatencyPair[]): LatencyPair {
  const middle = (side: "empty" | "loaded", q: "p50" | "p99"): number =>
    rounded(median(pairs.map((pair) => pair[side][q])));
  return {
    empty: { p50: middle("empty", "p50"), p99: middle("empty", "p99") },
    loaded: { p50: middle("loaded", "p50"), p99: middle("loaded", "p99") },
  };
}

function ratios(runs: Runs): Record<Ratio, number | null> {
  const speeds = (name: string): (number | undefined)[] =>
    (runs.get(name) ?? []).map((run) => ("result" in run ? speed(run.result) : undefined));
  const ratio = (ours: string, other: string): number | null => {
    return roundedOrNull(medianRatio(speeds(ours), speeds(other)));
  };
  const latencies = (runs.get("add-latency") ?? []).flatMap((run) =>
    "result" in run ? (run.result.latency ?? []) : [],
  );
  return {
    cycleVsBound: ratio("cycle", "bound"),
    cycleVsPlainjob: ratio("cycle", "plainjob"),
    cycleVsRows: ratio("cycle", "rows"),
    groups60VsOne: ratio("cycle-60-groups", "cycle"),
    groups1000VsOne: ratio("cycle-1000-groups", "cycle"),
    failing5pctVsNone: ratio("cycle-failing", "cycle"),
    singleAdd256VsPlainjob: ratio("add-256", "plainjob-add-256"),
    memoryVsDataloader: smaller(
      ratio("memory-callers", "dataloader-callers"),
      ratio("memory-burst", "dataloader-burst"),
    ),
    addLatency1MVs0: roundedOrNull(
      medianRatio(
        latencies.map(({ add }) => add.loaded.p50),
        latencies.map(({ add }) => add.empty.p50),
      ),
    ),
  };
}

/** The worse of two patterns counts; `null` unless both were measured. */
function smaller(a: number | null, b: number | null): number | null {
  return a === null || b === null ? null : Math.min(a, b);
}

function roundedOrNull(value: number | null): number | null {
  return value === null ? null : rounded(value);
}

/** Whether a value is what it has to be; `null` when it was not measured. */
export function isMet(target: Target, value: number | null): boolean | null {
  if (value === null) return null;
  return value >= (target.atLeast ?? -Infinity) && value <= (target.atMost ?? Infinity);
}
