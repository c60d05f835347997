/** All bugs on purpose of pools, and the hunt for each. */
import { poolsPlanOf } from "../plan.ts";
import { runPools, type PoolRunResult } from "../run.ts";
import { CRASH_MUTANTS } from "./crashes.ts";
import { END_MUTANTS } from "./ends.ts";
import { LIMIT_MUTANTS } from "./limits.ts";
import type { PoolMutant } from "./mutant.ts";

export const POOL_MUTANTS: readonly PoolMutant[] = [
  ...LIMIT_MUTANTS,
  ...END_MUTANTS,
  ...CRASH_MUTANTS,
];

/** The first of these seeds that finds the mutant; `null` when none does. */
export async function huntInPools(
  mutant: PoolMutant,
  seeds: Iterable<number>,
): Promise<PoolRunResult | null> {
  for (const seed of seeds) {
    // Mutants are made for the memory storage, which lets them change what is between the calls.
    const plan = poolsPlanOf(seed);
    if (plan.store !== "memory" || mutant.only?.(plan) === false) continue;
    const result = await runPools(seed, { mutant });
    const invariant = result.violation?.invariant;
    if (invariant !== undefined && mutant.foundBy.includes(invariant)) return result;
  }
  return null;
}
