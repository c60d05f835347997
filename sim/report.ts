/** What a simulation prints. */
import type { PoolTotals } from "./pools/totals.ts";
import type { RunTotals } from "./totals.ts";
import type { Told, WorldName } from "./worlds.ts";

/** Numbers that are added up over all runs. */
const SUMMED = {
  batches: [
    "acknowledged",
    "done",
    "dead",
    "deliveries",
    "retries",
    "reclaims",
    "redriven",
    "leftOut",
    "effects",
    "toldOf",
    "crashes",
    "buried",
    "lost",
    "events",
  ] as const satisfies readonly (keyof RunTotals)[],
  pools: [
    "acknowledged",
    "succeeded",
    "failed",
    "canceled",
    "calls",
    "claims",
    "retries",
    "crashed",
    "stoppedByCancel",
    "told",
    "crashes",
    "events",
  ] as const satisfies readonly (keyof PoolTotals)[],
};

/** What all runs delivered and suffered. `elapsedMs` is real time; 0 leaves it out. */
export function printTotals(world: WorldName, results: readonly Told[], elapsedMs: number): void {
  const sums = SUMMED[world].map((name) => {
    const sum = results.reduce((total, { totals }) => total + numberOf(totals, name), 0);
    return `${name} ${sum}`;
  });
  const injected = new Map<string, number>();
  for (const { totals } of results) {
    for (const [name, times] of Object.entries(totals.injected)) {
      injected.set(name, (injected.get(name) ?? 0) + times);
    }
  }
  const virtual = results.reduce((total, { totals }) => total + totals.virtualMs, 0) / 60_000;
  const steps = results.reduce((total, { step }) => total + step, 0);
  const stores = Map.groupBy(results, ({ plan }) => plan.store);
  const mix = [...stores].map(([store, runs]) => `${runs.length} on ${store}`).join(", ");
  const runs = `${results.length} (${mix}), ${steps} steps, ${virtual.toFixed(0)} virtual minutes`;
  console.log(`${world}: ${runs}`);
  console.log(`work: ${sums.join(", ")}`);
  console.log(`faults: ${[...injected].map(([name, times]) => `${name} ${times}`).join(", ")}`);
  if (elapsedMs > 0) {
    const seconds = elapsedMs / 1000;
    console.log(`time: ${seconds.toFixed(1)} s, ${(steps / seconds).toFixed(0)} steps/s`);
  }
}

function numberOf(totals: object, name: string): number {
  return Number(Reflect.get(totals, name));
}

/** A failure, with all that is needed to see it again. */
export function printFailure(world: WorldName, result: Told, mutant?: string): void {
  const { seed, step, plan, violation, tail } = result;
  console.error(
    `\nseed ${seed} of ${world} failed at step ${step} of ${plan.steps} (${plan.store})`,
  );
  console.error(`  ${violation?.message}`);
  console.error("the last that happened:");
  for (const line of tail) console.error(line);
  const flag = world === "pools" ? " --pools" : "";
  const which = mutant === undefined ? "" : ` --mutant "${mutant}"`;
  console.error(`replay: npm run sim -- --seed ${seed}${flag}${which} --trace`);
}
