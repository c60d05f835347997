/** The rounds: A B C, A B C, … so that a slow minute of the machine meets every row. */
import type { BenchCase } from "./case.ts";
import { runCase, type Run } from "./spawn.ts";

export interface MeasureOptions {
  readonly cases: readonly BenchCase[];
  readonly rounds: number;
  readonly quick: boolean;
  readonly root: string;
  readonly profile?: string;
  /** Told of each run as it ends. */
  readonly progress: (text: string) => void;
}

/** Runs every row once a round; rows with rounds of their own once. A failed row is not run again. */
export async function measure(options: MeasureOptions): Promise<Map<string, Run[]>> {
  const { cases, rounds, quick, root, profile, progress } = options;
  const runs = new Map<string, Run[]>(cases.map(({ name }) => [name, []]));
  for (let round = 1; round <= rounds; round++) {
    for (const { name, once, ...row } of cases) {
      const earlier = runs.get(name) ?? [];
      if (earlier.some((run) => "failure" in run)) continue;
      if (once === true && earlier.length > 0) continue;
      const items = quick ? row.quick : row.full;
      const run = await runCase({
        name,
        items,
        rounds,
        root,
        ...(profile === undefined ? {} : { profile }),
      });
      earlier.push(run);
      progress(`round ${round}/${rounds}  ${name.padEnd(20)} ${outcome(run)}`);
    }
  }
  return runs;
}

function outcome(run: Run): string {
  if ("failure" in run) return `FAILED: ${run.failure}`;
  const { items, ms } = run.result;
  return `${Math.round((items / ms) * 1000).toLocaleString("en-US")} items/s`;
}
