/** A thread of the simulator: runs the seeds, and hunts the mutants, that it is given. */
import { parentPort } from "node:worker_threads";

import { huntWorld, runWorld, type Told, type WorldName } from "./worlds.ts";

/** One seed of the code as it is, or the seeds among which a mutant is to be found. */
export type Task = { readonly world: WorldName } & (
  { readonly seed: number } | { readonly mutant: string; readonly seeds: readonly number[] }
);

parentPort?.on("message", (task: Task) => {
  // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread, no window
  void (async () => parentPort?.postMessage(await carryOut(task)))();
});

async function carryOut(task: Task): Promise<Told | null> {
  const { world } = task;
  const result =
    "seed" in task
      ? await runWorld(world, task.seed)
      : await huntWorld(world, task.mutant, task.seeds);
  if (result === null) return null;
  // All of it that can be copied.
  const { violation } = result;
  return { ...result, violation: violation === null ? null : { message: violation.message } };
}
