/** From runs to what is printed: medians a row, ratios of the same round, targets. */
import { isMet, rowOf, type FailedRow, type Row, type Target } from "../harness/report.ts";
import type { Run } from "../harness/spawn.ts";
import { median, medianRatio, rounded } from "../harness/statistics.ts";
import type { PoolCase } from "./registry.ts";
import { SLOW_MS } from "./slow.ts";

export type Ratio =
  | "tasksVsPlainjob"
  | "tasksVsGraphile"
  | "tasksVsPgBoss"
  | "tasksVsBullmq"
  | "tasksVsBullmqSynced"
  | "slowTasksVsIdeal";

/** What the project promises of itself: durable on both databases, peers at their best. */
const TARGETS = {
  tasksVsPlainjob: { atLeast: 12 },
  tasksVsGraphile: { atLeast: 6 },
  tasksVsPgBoss: { atLeast: 8 },
  slowTasksVsIdeal: { atMost: 1.25 },
} as const satisfies Partial<Record<Ratio, Target>>;

/** 10,000 tasks on 5 x 1000 places go through twice. */
const IDEAL_MS = 2 * SLOW_MS;

export interface PoolReport {
  /** Of tasks/s in the same round, and of the time over the ideal one; `null`: not measured. */
  readonly ratios: Readonly<Record<Ratio, number | null>>;
  readonly absolute: Readonly<Record<string, Row | FailedRow>>;
  readonly targets: Readonly<
    Record<keyof typeof TARGETS, Target & { readonly met: boolean | null }>
  >;
}

export function report(
  cases: readonly Pick<PoolCase, "name">[],
  runs: ReadonlyMap<string, readonly Run[]>,
): PoolReport {
  const results = (name: string): (Extract<Run, { result: unknown }>["result"] | undefined)[] =>
    (runs.get(name) ?? []).map((run) => ("result" in run ? run.result : undefined));
  const compared = (ours: string, other: string): number | null => {
    const speeds = (name: string): (number | undefined)[] =>
      results(name).map((result) => result && result.items / result.ms);
    const ratio = medianRatio(speeds(ours), speeds(other));
    return ratio === null ? null : rounded(ratio);
  };
  const slow = results("slow").flatMap((result) => (result === undefined ? [] : [result.ms]));
  const ratios: Record<Ratio, number | null> = {
    tasksVsPlainjob: compared("tasks", "plainjob"),
    tasksVsGraphile: compared("pg-tasks", "graphile"),
    tasksVsPgBoss: compared("pg-tasks", "pg-boss"),
    tasksVsBullmq: compared("pg-tasks", "bullmq"),
    tasksVsBullmqSynced: compared("pg-tasks", "bullmq-fsync"),
    slowTasksVsIdeal: slow.length === 0 ? null : rounded(median(slow) / IDEAL_MS),
  };
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
    absolute: Object.fromEntries(rows),
    targets: Object.fromEntries(targets) as PoolReport["targets"],
  };
}
