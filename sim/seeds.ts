/** The seeds that ever failed. They are always run again. */
import { readFileSync, writeFileSync } from "node:fs";

import type { WorldName } from "./worlds.ts";

const FILE = new URL("seeds.json", import.meta.url);

type Failed = Readonly<Record<WorldName, readonly number[]>>;

/** Seeds of a world that once failed. */
export function failedSeeds(world: WorldName): readonly number[] {
  return readFailed()[world];
}

/** Keeps a seed that failed, so that it is run for ever. */
export function rememberFailed(world: WorldName, seed: number): void {
  const failed = readFailed();
  const seeds = [...new Set([...failed[world], seed])].toSorted((a, b) => a - b);
  writeFileSync(FILE, `${JSON.stringify({ ...failed, [world]: seeds })}\n`);
}

function readFailed(): Failed {
  return JSON.parse(readFileSync(FILE, "utf8")) as Failed;
}
