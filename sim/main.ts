/**
 * The deterministic simulator: real core, runtime and storage on virtual time with injected faults.
 *
 *   npm run sim -- --seeds 500            clean code, then every mutant
 *   npm run sim -- --seeds 500 --mutants  the mutants alone
 *   npm run sim -- --seeds 500 --pools    pools alone; otherwise batches, and pools half as often
 *   npm run sim -- --seed 42 --trace      one seed, with everything that happens; --pools: of pools
 */
import { parseArgs } from "node:util";

import { systemClock } from "../packages/batchwork/src/runtime/clock.ts";
import { huntMutants } from "./hunts.ts";
import { printFailure, printTotals } from "./report.ts";
import { failedSeeds, rememberFailed } from "./seeds.ts";
import { onAllCores } from "./threads.ts";
import { runWorld, WORLDS, type Told, type WorldName } from "./worlds.ts";

const { values } = parseArgs({
  options: {
    seeds: { type: "string", default: "500" },
    start: { type: "string", default: "0" },
    seed: { type: "string" },
    mutant: { type: "string" },
    mutants: { type: "boolean", default: false },
    pools: { type: "boolean", default: false },
    trace: { type: "boolean", default: false },
  },
});

/** So many seeds are run twice; both runs must be the same in every line. */
const REPLAYED = 5;

/** A run of pools is so much more expensive than one of batches. */
const POOLS_SHARE = 2;

process.exitCode = (await main()) ? 0 : 1;

async function main(): Promise<boolean> {
  if (values.seed !== undefined) return replay(Number(values.seed));
  const start = Number(values.start);
  const count = Number(values.seeds);
  const worlds = values.pools ? (["pools"] as const) : WORLDS;
  for (const world of values.mutants ? [] : worlds) {
    const share = world === "pools" && !values.pools ? POOLS_SHARE : 1;
    if (!(await runClean(world, start, Math.ceil(count / share)))) return false;
  }
  return huntMutants(worlds, start, count);
}

/** One seed, in full. */
async function replay(seed: number): Promise<boolean> {
  const world = values.pools ? "pools" : "batches";
  const { mutant } = values;
  const print = values.trace ? (line: string) => console.log(line) : undefined;
  const result = await runWorld(world, seed, { mutant, print });
  console.log(JSON.stringify(result.plan, null, 2));
  printTotals(world, [result], 0);
  console.log(`trace ${result.hash}`);
  if (result.violation !== null) printFailure(world, result, mutant);
  return result.violation === null;
}

/** The code as it is: no seed may fail. */
async function runClean(world: WorldName, start: number, count: number): Promise<boolean> {
  const fresh = Array.from({ length: count }, (_, n) => start + n);
  const seeds = [...new Set([...failedSeeds(world), ...fresh])];
  const startedAt = systemClock.monotonicMs();
  const results = new Map<number, Told>();
  let failed = false;
  await onAllCores(
    seeds.map((seed) => ({ world, seed })),
    (_, result) => {
      if (result === null) return true;
      results.set(result.seed, result);
      if (result.violation === null) return true;
      failed = true;
      rememberFailed(world, result.seed);
      printFailure(world, result);
      return false;
    },
  );
  if (failed) return false;
  const inOrder = seeds.flatMap((seed) => results.get(seed) ?? []);
  printTotals(world, inOrder, systemClock.monotonicMs() - startedAt);
  return replaysAlike(world, inOrder.slice(0, REPLAYED));
}

async function replaysAlike(world: WorldName, results: readonly Told[]): Promise<boolean> {
  for (const { seed, hash } of results) {
    const again = await runWorld(world, seed);
    if (again.hash === hash) continue;
    console.error(`Seed ${seed} does not replay: its trace was ${hash}, then ${again.hash}.`);
    return false;
  }
  console.log(`replayed: ${results.length} seeds, every trace the same`);
  return true;
}
