/** Waiting, with an end, for what is under way when an engine stops. */
import type { Clock } from "../core/clock.ts";
import type { PoolCounts } from "../storage/pools.ts";
import type { Storage } from "../storage/storage.ts";
import type { Looks } from "./looks.ts";
import type { Queue } from "./queue.ts";
import type { Signal } from "./wake.ts";

/** What {@link waitWhile} waits for, and how it hears of it. */
export interface Wait {
  readonly busy: () => Promise<boolean>;
  readonly graceMs: number;
  readonly clock: Clock;
  readonly progressed: Signal;
  readonly wake: Pick<Looks, "now">;
}

/** Waits until `busy` is false or `graceMs` passed, asking whenever something progressed. */
export async function waitWhile({ busy, graceMs, clock, progressed, wake }: Wait): Promise<void> {
  let expired = false;
  const grace = clock.after(graceMs, () => {
    expired = true;
    progressed.notify();
  });
  for (;;) {
    // Registered before the question, so an answer that changes meanwhile is not missed.
    const next = progressed.wait();
    if (expired || !(await busy())) break;
    wake.now();
    await next;
  }
  grace.cancel();
}

/**
 * Makes everything due that is not paused; the result tells whether any of it is still unfinished.
 */
export async function makeAllDue(
  storage: Storage,
  queues: readonly Queue[],
): Promise<() => Promise<boolean>> {
  const marks: { readonly queue: number; readonly mark: number }[] = [];
  for (const { id: queue } of queues) {
    const { paused } = await storage.counts(queue, null);
    if (!paused) marks.push({ queue, mark: await storage.makeDue(queue, null) });
  }
  return async () => {
    for (const { queue, mark } of marks) {
      const query = { queue, group: null, mark, until: "finished" } as const;
      if ((await storage.outstanding(query)) > 0) return true;
    }
    return false;
  };
}

/** True while a task runs, or only waits for its turn, or for a time that comes before `until`. */
export function willRun(counts: PoolCounts, maxParallelism: number, until: number): boolean {
  const { paused, parallelism, waiting, running, nextAt } = counts;
  if (running > 0) return true;
  if (paused || (parallelism ?? maxParallelism) === 0) return false;
  return waiting > 0 || (nextAt !== null && nextAt <= until);
}
