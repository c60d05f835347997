/** Runs of the simulator on all cores: each run is a world of its own. */
import { availableParallelism } from "node:os";
import { Worker } from "node:worker_threads";

import type { Task } from "./worker.ts";
import type { Told } from "./worlds.ts";

/**
 * Carries the tasks out, as many at a time as there are cores. `heard` is called with each answer,
 * in whatever order; when it returns false, what has not ended is given up.
 */
export async function onAllCores(
  tasks: readonly Task[],
  heard: (task: Task, answer: Told | null) => boolean,
): Promise<void> {
  const left = tasks.values();
  const count = Math.min(availableParallelism(), tasks.length);
  const workers = Array.from({ length: count }, () => {
    return new Worker(new URL("worker.ts", import.meta.url));
  });
  let goesOn = true;
  try {
    await Promise.all(
      workers.map(async (worker) => {
        for (const task of left) {
          const answer = await ask(worker, task);
          goesOn &&= heard(task, answer);
          if (!goesOn) return;
        }
      }),
    );
  } finally {
    await Promise.all(workers.map(async (worker) => worker.terminate()));
  }
}

async function ask(worker: Worker, task: Task): Promise<Told | null> {
  return new Promise((resolve, reject) => {
    const answered = (answer: Told | null): void => {
      worker.off("error", reject);
      resolve(answer);
    };
    worker.once("message", answered);
    worker.once("error", reject);
    // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread, no window
    worker.postMessage(task);
  });
}
