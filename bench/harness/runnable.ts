/** Which rows can run on this machine, and why the others cannot. */
import type { BenchCase } from "./case.ts";

export interface Runnable<C> {
  readonly cases: readonly C[];
  /** Why, by the name of the row. */
  readonly skipped: Readonly<Record<string, string>>;
}

export function runnable<C extends Pick<BenchCase, "name" | "missing">>(
  all: readonly C[],
): Runnable<C> {
  const skipped = all.flatMap(({ name, missing }) => {
    const why = missing?.();
    return why === undefined ? [] : [[name, why] as const];
  });
  const names = new Set(skipped.map(([name]) => name));
  return {
    cases: all.filter(({ name }) => !names.has(name)),
    skipped: Object.fromEntries(skipped),
  };
}

/** A line for each row that was left out; empty where none was. */
export function skippedText(skipped: Runnable<unknown>["skipped"]): string {
  return Object.entries(skipped)
    .map(([name, why]) => `skipped: ${name}: ${why}\n`)
    .join("");
}
