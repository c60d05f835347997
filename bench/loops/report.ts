/** From runs to what is printed: medians a row, ratios of the same round, targets. */
import type { BenchCase, Latency } from "../harness/case.ts";
import { isMet, rowOf, type FailedRow, type Row, type Target } from "../harness/report.ts";
import type { Run } from "../harness/spawn.ts";
import { medianRatio, rounded } from "../harness/statistics.ts";

export type Ratio =
  "iterateVsBound" | "iterateTxVsBound" | "workerVsBound" | "wakeP99Ms" | "wakeAcrossP99Ms";

/** What the project promises of itself. */
const TARGETS: Readonly<Record<Ratio, Target>> = {
  iterateVsBound: { atLeast: 0.8 },
  iterateTxVsBound: { atLeast: 0.7 },
  workerVsBound: { atLeast: 0.6 },
  wakeP99Ms: { atMost: 10 },
  wakeAcrossP99Ms: { atMost: 60 },
};

/** What is divided by what, by rows. */
const SPEEDS: readonly (readonly [Ratio, ours: string, bound: string])[] = [
  ["iterateVsBound", "iterate", "iterate-bound"],
  ["iterateTxVsBound", "iterate-tx", "iterate-tx-bound"],
  ["workerVsBound", "worker", "worker-bound"],
];

/** From `ping` to the row, and beside it how late a timer of 1 ms was in the same run, ms. */
export interface Wake {
  readonly ping: Latency;
  readonly timer: Latency;
}

export interface LoopsReport {
  /** Of rows/s in the same round, and latencies in ms; `null`: not measured. */
  readonly ratios: Readonly<Record<Ratio, number | null>>;
  readonly wakeMs: Readonly<Record<string, Wake>>;
  readonly absolute: Readonly<Record<string, Row | FailedRow>>;
  readonly targets: Readonly<Record<Ratio, Target & { readonly met: boolean | null }>>;
}

export function report(
  cases: readonly Pick<BenchCase, "name">[],
  runs: ReadonlyMap<string, readonly Run[]>,
): LoopsReport {
  const results = (name: string): (Extract<Run, { result: unknown }>["result"] | undefined)[] =>
    (runs.get(name) ?? []).map((run) => ("result" in run ? run.result : undefined));
  const speeds = (name: string): (number | undefined)[] =>
    results(name).map((result) => result && result.items / result.ms);
  const ratios = {} as Record<Ratio, number | null>;
  for (const [ratio, ours, bound] of SPEEDS) {
    const found = medianRatio(speeds(ours), speeds(bound));
    ratios[ratio] = found === null ? null : rounded(found);
  }
  const wakeMs: Record<string, Wake> = {};
  for (const [ratio, name] of [
    ["wakeP99Ms", "wake"],
    ["wakeAcrossP99Ms", "wake-across"],
  ] as const) {
    const wake = results(name)[0]?.wake;
    ratios[ratio] = wake === undefined ? null : rounded(wake.ping.p99);
    if (wake !== undefined) wakeMs[name] = wake;
  }
  const rows = cases.flatMap(({ name }) => {
    const done = runs.get(name) ?? [];
    return done.length === 0 ? [] : [[name, rowOf(done)] as const];
  });
  const targets = Object.entries(TARGETS).map(([name, target]) => [
    name,
    { ...target, met: isMet(target, ratios[name as Ratio]) },
  ]);
  return {
    ratios,
    wakeMs,
    absolute: Object.fromEntries(rows),
    targets: Object.fromEntries(targets) as LoopsReport["targets"],
  };
}
