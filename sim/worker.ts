/** A thread of the simulator: runs the seeds, and hunts the mutants, that it is given. */
import { parentPort } from "node:worker_threads";

import { hunt } from "./hunt.ts";
import { MUTANTS } from "./mutants/index.ts";
import { run, type RunResult } from "./run.ts";

/** One seed of the code as it is, or the seeds among which a mutant is to be found. */
export type Task =
  { readonly seed: number } | { readonly mutant: string; readonly seeds: readonly number[] };

/** What a thread tells of a run: all of it that can be copied. */
export interface Told extends Omit<RunResult, "violation"> {
  readonly violation: { readonly message: string } | null;
}

parentPort?.on("message", (task: Task) => {
  // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread, no window
  void (async () => parentPort?.postMessage(await carryOut(task)))();
});

async function carryOut(task: Task): Promise<Told | null> {
  const result =
    "seed" in task
      ? await run(task.seed)
      : await hunt(MUTANTS.find(({ name }) => name === task.mutant) ?? none(task), task.seeds);
  if (result === null) return null;
  const { violation } = result;
  return { ...result, violation: violation === null ? null : { message: violation.message } };
}

function none(task: object): never {
  throw new Error(`There is no such task: ${JSON.stringify(task)}`);
}
