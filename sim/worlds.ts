/** The worlds that a seed stands for: one of batches, and one of pools. */
import { hunt } from "./hunt.ts";
import { MUTANTS } from "./mutants/index.ts";
import { huntInPools, POOL_MUTANTS } from "./pools/mutants/index.ts";
import { runPools } from "./pools/run.ts";
import { run } from "./run.ts";

export type WorldName = "batches" | "pools";

export const WORLDS: readonly WorldName[] = ["batches", "pools"];

/** What is told of a run, in whichever world. */
export interface Told {
  readonly seed: number;
  readonly plan: { readonly store: string; readonly steps: number };
  readonly violation: { readonly message: string } | null;
  /** How far the run came, steps. */
  readonly step: number;
  /** The last lines of the trace. */
  readonly tail: readonly string[];
  /** Equal for two runs in which the same things happened. */
  readonly hash: string;
  readonly totals: {
    readonly injected: Readonly<Record<string, number>>;
    readonly virtualMs: number;
  };
}

/** What a run is given besides its seed. */
export interface WorldOptions {
  /** Name of a mutant of that world. */
  readonly mutant?: string | undefined;
  /** Shows each line of the trace as it happens. */
  readonly print?: ((line: string) => void) | undefined;
}

export function mutantsOf(world: WorldName): readonly { name: string; about?: string }[] {
  return world === "batches" ? MUTANTS : POOL_MUTANTS;
}

/** Runs one seed. */
export async function runWorld(
  world: WorldName,
  seed: number,
  { mutant: name, print }: WorldOptions = {},
): Promise<Told> {
  const shown = print === undefined ? {} : { print };
  if (world === "batches") {
    const mutant = name === undefined ? {} : { mutant: named(MUTANTS, name) };
    return run(seed, { ...shown, ...mutant });
  }
  const mutant = name === undefined ? {} : { mutant: named(POOL_MUTANTS, name) };
  return runPools(seed, { ...shown, ...mutant });
}

/** The first of these seeds that finds the mutant; `null` when none does. */
export async function huntWorld(
  world: WorldName,
  name: string,
  seeds: Iterable<number>,
): Promise<Told | null> {
  if (world === "batches") return hunt(named(MUTANTS, name), seeds);
  return huntInPools(named(POOL_MUTANTS, name), seeds);
}

function named<T extends { readonly name: string }>(mutants: readonly T[], name: string): T {
  const found = mutants.find((one) => one.name === name);
  if (found !== undefined) return found;
  throw new Error(`No mutant is called "${name}": ${mutants.map((one) => one.name).join(", ")}.`);
}
