/** Hunts every mutant and prints who was found, where, and by which invariant. */
import { onAllCores } from "./threads.ts";
import { mutantsOf, type Told, type WorldName } from "./worlds.ts";

export async function huntMutants(
  worlds: readonly WorldName[],
  start: number,
  count: number,
): Promise<boolean> {
  const seeds = Array.from({ length: count }, (_, n) => start + n);
  const found = new Map<string, Told>();
  const hunted = worlds.flatMap((world) => {
    return mutantsOf(world).map(({ name, about = "" }) => ({ world, name, about }));
  });
  await onAllCores(
    hunted.map(({ world, name }) => ({ world, mutant: name, seeds })),
    (task, result) => {
      if ("mutant" in task && result !== null) found.set(keyOf(task.world, task.mutant), result);
      return true;
    },
  );
  for (const { world, name, about } of hunted) {
    const result = found.get(keyOf(world, name));
    if (result === undefined) {
      console.log(`SURVIVED  ${name}: ${about}`);
      continue;
    }
    const where = `seed ${result.seed}, step ${result.step}`;
    console.log(
      `caught  ${name.padEnd(60)} ${where.padEnd(22)} ${result.violation?.message ?? ""}`,
    );
  }
  console.log(`mutants: ${found.size} of ${hunted.length} caught`);
  return found.size === hunted.length;
}

function keyOf(world: WorldName, mutant: string): string {
  return `${world}: ${mutant}`;
}
