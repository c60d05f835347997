/** Runs seeds against the bugs on purpose: each of them must be found. */
import type { Mutant } from "./mutants/mutant.ts";
import { planOf } from "./plan.ts";
import { run, type RunResult } from "./run.ts";

/** The first of these seeds that finds the mutant; `null` when none does. */
export async function hunt(mutant: Mutant, seeds: Iterable<number>): Promise<RunResult | null> {
  for (const seed of seeds) {
    // Mutants are made for the memory storage, which lets them change what is between the calls.
    if (planOf(seed).store !== "memory") continue;
    const result = await run(seed, { mutant });
    const invariant = result.violation?.invariant;
    if (invariant !== undefined && mutant.foundBy.includes(invariant)) return result;
  }
  return null;
}
