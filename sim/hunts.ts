/** Hunts every mutant and prints who was found, where, and by which invariant. */
import { MUTANTS } from "./mutants/index.ts";
import { onAllCores } from "./threads.ts";
import type { Told } from "./worker.ts";

export async function huntMutants(start: number, count: number): Promise<boolean> {
  const seeds = Array.from({ length: count }, (_, n) => start + n);
  const found = new Map<string, Told>();
  await onAllCores(
    MUTANTS.map(({ name }) => ({ mutant: name, seeds })),
    (task, result) => {
      if ("mutant" in task && result !== null) found.set(task.mutant, result);
      return true;
    },
  );
  for (const { name, about } of MUTANTS) {
    const result = found.get(name);
    if (result === undefined) {
      console.log(`SURVIVED  ${name}: ${about}`);
      continue;
    }
    const where = `seed ${result.seed}, step ${result.step}`;
    console.log(
      `caught  ${name.padEnd(40)} ${where.padEnd(24)} ${result.violation?.message ?? ""}`,
    );
  }
  console.log(`mutants: ${found.size} of ${MUTANTS.length} caught`);
  return found.size === MUTANTS.length;
}
