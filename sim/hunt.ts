/** Runs seeds against the bugs on purpose: each of them must be found. */
import { MUTANTS } from "./mutants/index.ts";
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

/** Hunts every mutant and prints who was found, where, and by which invariant. */
export async function huntMutants(start: number, count: number): Promise<boolean> {
  const seeds = Array.from({ length: count }, (_, n) => start + n);
  let survivors = 0;
  for (const mutant of MUTANTS) {
    const found = await hunt(mutant, seeds);
    if (found === null) {
      survivors++;
      console.log(`SURVIVED  ${mutant.name}: ${mutant.about}`);
    } else {
      const where = `seed ${found.seed}, step ${found.step}`;
      console.log(
        `caught  ${mutant.name.padEnd(40)} ${where.padEnd(24)} ${found.violation?.message}`,
      );
    }
  }
  console.log(`mutants: ${MUTANTS.length - survivors} of ${MUTANTS.length} caught`);
  return survivors === 0;
}
