/** A row for each feature, and what each costs beside a definition that has none. */
import type { BenchCase } from "../harness/case.ts";
import { medianRatio, rounded } from "../harness/statistics.ts";
import type { Runs } from "../harness/report.ts";

const NAMES = [
  "none",
  "unused",
  "throttle",
  "deduplicateBy",
  "idempotencyKey",
  "beforeFlush",
  "schema",
  "target",
  "results",
  "maxPending",
  "removeOnComplete",
  "tags",
  "telemetry",
] as const;

export const FEATURE_CASES: readonly BenchCase[] = NAMES.map((name) => ({
  name: `feature-${name}`,
  title: name === "none" ? "cycle without a feature" : `cycle, ${titleOf(name)}`,
  quick: 20_000,
  full: 120_000,
  warmUp: 20_000,
  fullOnly: true,
  load: async () => {
    const [{ cycleWith }, { FEATURES }] = await Promise.all([
      import("./cycle.ts"),
      import("./features.ts"),
    ]);
    const feature = FEATURES.find((one) => one.name === name);
    if (feature === undefined) throw new Error(`no feature "${name}"`);
    return cycleWith(feature);
  },
}));

function titleOf(name: string): string {
  return name === "unused" ? "features in use beside it" : name;
}

/** How fast a cycle is with each feature, as a part of one without; `null` if not measured. */
export function featureRatios(runs: Runs): Record<string, number | null> {
  const speeds = (name: string): (number | undefined)[] =>
    (runs.get(`feature-${name}`) ?? []).map((run) =>
      "result" in run ? run.result.items / run.result.ms : undefined,
    );
  const plain = speeds("none");
  return Object.fromEntries(
    NAMES.slice(1).map((name) => {
      const ratio = medianRatio(speeds(name), plain);
      return [name, ratio === null ? null : rounded(ratio)];
    }),
  );
}
