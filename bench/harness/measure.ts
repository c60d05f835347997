/** The rounds: A B C, A B C, … so that a slow minute of the machine meets every row. */
import type { BenchCase } from "./case.ts";
import { runCase, type Run, type RunOptions } from "./spawn.ts";

export interface MeasureOptions {
  readonly cases: readonly Pick<BenchCase, "name" | "quick" | "full" | "once" | "race">[];
  readonly rounds: number;
  readonly quick: boolean;
  readonly root: string;
  readonly profile?: string;
  /** Runs a row once. Default: {@link runCase}. */
  readonly run?: (options: RunOptions) => Promise<Run>;
  /** Told of each run as it ends. */
  readonly progress: (text: string) => void;
}

/** How often the rows of a race run in a round. */
const RACE_RUNS = 2;

/**
 * Runs every row once a round, and the rows of a race {@link RACE_RUNS} times in turn; rows with
 * rounds of their own once. A failed row is not run again.
 */
export async function measure(options: MeasureOptions): Promise<Map<string, Run[]>> {
  const { cases, rounds, quick, root, profile, progress, run: runRow = runCase } = options;
  const runs = new Map<string, Run[]>(cases.map(({ name }) => [name, []]));
  for (let round = 1; round <= rounds; round++) {
    for (const { name, once, ...row } of inTurn(cases)) {
      const earlier = runs.get(name) ?? [];
      if (earlier.some((run) => "failure" in run)) continue;
      if (once === true && earlier.length > 0) continue;
      const items = quick ? row.quick : row.full;
      const run = await runRow({
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

/** The rows of one round, in the order in which they run. */
function inTurn<T extends Pick<BenchCase, "race">>(cases: readonly T[]): T[] {
  const order: T[] = [];
  let from = 0;
  for (const [index, { race }] of cases.entries()) {
    if (race !== undefined && cases[index + 1]?.race === race) continue;
    const together = cases.slice(from, index + 1);
    const runs = together.length > 1 ? RACE_RUNS : 1;
    for (let run = 0; run < runs; run++) order.push(...together);
    from = index + 1;
  }
  return order;
}

function outcome(run: Run): string {
  if ("failure" in run) return `FAILED: ${run.failure}`;
  const { items, ms } = run.result;
  return `${Math.round((items / ms) * 1000).toLocaleString("en-US")} items/s`;
}
