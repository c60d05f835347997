/** What a simulation prints. */
import type { RunResult } from "./run.ts";
import type { RunTotals } from "./totals.ts";

/** What of a run is printed. */
type Reported = Omit<RunResult, "violation"> & {
  readonly violation: { readonly message: string } | null;
};

/** Numbers that are added up over all runs. */
const SUMMED = [
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
] as const satisfies readonly (keyof RunTotals)[];

/** What all runs delivered and suffered. `elapsedMs` is real time; 0 leaves it out. */
export function printTotals(results: readonly Reported[], elapsedMs: number): void {
  const sums = SUMMED.map((name) => {
    const sum = results.reduce((total, { totals }) => total + totals[name], 0);
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
  console.log(
    `runs: ${results.length} (${mix}), ${steps} steps, ${virtual.toFixed(0)} virtual minutes`,
  );
  console.log(`work: ${sums.join(", ")}`);
  console.log(`faults: ${[...injected].map(([name, times]) => `${name} ${times}`).join(", ")}`);
  if (elapsedMs > 0) {
    const seconds = elapsedMs / 1000;
    console.log(`time: ${seconds.toFixed(1)} s, ${(steps / seconds).toFixed(0)} steps/s`);
  }
}

/** A failure, with all that is needed to see it again. */
export function printFailure(result: Reported, mutant?: string): void {
  const { seed, step, plan, violation, tail } = result;
  console.error(`\nseed ${seed} failed at step ${step} of ${plan.steps} (${plan.store})`);
  console.error(`  ${violation?.message}`);
  console.error("the last that happened:");
  for (const line of tail) console.error(line);
  const which = mutant === undefined ? "" : ` --mutant "${mutant}"`;
  console.error(`replay: npm run sim -- --seed ${seed}${which} --trace`);
}
