/**
 * The deterministic simulator: real core, runtime and storage on virtual time with injected faults.
 *
 *   npm run sim -- --seeds 500            clean code, then every mutant
 *   npm run sim -- --seeds 500 --mutants  the mutants alone
 *   npm run sim -- --seed 42 --trace      one seed, with everything that happens
 */
import { parseArgs } from "node:util";

import { systemClock } from "../packages/batchwork/src/runtime/clock.ts";
import { huntMutants } from "./hunts.ts";
import { MUTANTS } from "./mutants/index.ts";
import { printFailure, printTotals } from "./report.ts";
import { run } from "./run.ts";
import { failedSeeds, rememberFailed } from "./seeds.ts";
import { onAllCores } from "./threads.ts";
import type { Told } from "./worker.ts";

const { values } = parseArgs({
  options: {
    seeds: { type: "string", default: "500" },
    start: { type: "string", default: "0" },
    seed: { type: "string" },
    mutant: { type: "string" },
    mutants: { type: "boolean", default: false },
    trace: { type: "boolean", default: false },
  },
});

/** So many seeds are run twice; both runs must be the same in every line. */
const REPLAYED = 5;

process.exitCode = (await main()) ? 0 : 1;

async function main(): Promise<boolean> {
  if (values.seed !== undefined) return replay(Number(values.seed));
  const start = Number(values.start);
  const count = Number(values.seeds);
  const clean = values.mutants || (await runClean(start, count));
  return clean && (await huntMutants(start, count));
}

/** One seed, in full. */
async function replay(seed: number): Promise<boolean> {
  const mutant = MUTANTS.find(({ name }) => name === values.mutant);
  if (values.mutant !== undefined && mutant === undefined) {
    console.error(
      `No mutant is called "${values.mutant}": ${MUTANTS.map(({ name }) => name).join(", ")}.`,
    );
    return false;
  }
  const result = await run(seed, {
    ...(values.trace ? { print: (line: string) => console.log(line) } : {}),
    ...(mutant === undefined ? {} : { mutant }),
  });
  console.log(JSON.stringify(result.plan, null, 2));
  printTotals([result], 0);
  console.log(`trace ${result.hash}`);
  if (result.violation !== null) printFailure(result, values.mutant);
  return result.violation === null;
}

/** The code as it is: no seed may fail. */
async function runClean(start: number, count: number): Promise<boolean> {
  const fresh = Array.from({ length: count }, (_, n) => start + n);
  const seeds = [...new Set([...failedSeeds(), ...fresh])];
  const startedAt = systemClock.monotonicMs();
  const results = new Map<number, Told>();
  let failed = false;
  await onAllCores(
    seeds.map((seed) => ({ seed })),
    (_, result) => {
      if (result === null) return true;
      results.set(result.seed, result);
      if (result.violation === null) return true;
      failed = true;
      rememberFailed(result.seed);
      printFailure(result);
      return false;
    },
  );
  if (failed) return false;
  const inOrder = seeds.flatMap((seed) => results.get(seed) ?? []);
  printTotals(inOrder, systemClock.monotonicMs() - startedAt);
  return replaysAlike(inOrder.slice(0, REPLAYED));
}

async function replaysAlike(results: readonly Told[]): Promise<boolean> {
  for (const { seed, hash } of results) {
    const again = await run(seed);
    if (again.hash === hash) continue;
    console.error(`Seed ${seed} does not replay: its trace was ${hash}, then ${again.hash}.`);
    return false;
  }
  console.log(`replayed: ${results.length} seeds, every trace the same`);
  return true;
}
