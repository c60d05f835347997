/** A row that runs several times in its process; the run in the middle counts. */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import type { CaseResult, RunCase } from "../harness/case.ts";

/** How often rows run that are close to their target: one run says as much of the machine. */
export const CLOSE = 3;

/** The row, run `times` times (an odd number), each in a directory of its own. */
export function medianOf(times: number, run: RunCase): RunCase {
  return async (context) => {
    const results: CaseResult[] = [];
    for (let nth = 0; nth < times; nth++) {
      const directory = join(context.directory, String(nth));
      mkdirSync(directory);
      results.push(await run({ ...context, directory }));
    }
    return middle(results);
  };
}

/** The run in the middle, by how long it took. */
export function middle(results: readonly CaseResult[]): CaseResult {
  return results.toSorted((a, b) => a.ms - b.ms)[results.length >> 1] as CaseResult;
}
