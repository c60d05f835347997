/** The seeds that ever failed. They are always run again. */
import { readFileSync, writeFileSync } from "node:fs";

const FILE = new URL("seeds.json", import.meta.url);

/** Seeds that once failed. */
export function failedSeeds(): readonly number[] {
  return (JSON.parse(readFileSync(FILE, "utf8")) as { readonly failed: readonly number[] }).failed;
}

/** Keeps a seed that failed, so that it is run for ever. */
export function rememberFailed(seed: number): void {
  const failed = [...new Set([...failedSeeds(), seed])].toSorted((a, b) => a - b);
  writeFileSync(FILE, `${JSON.stringify({ failed })}\n`);
}
