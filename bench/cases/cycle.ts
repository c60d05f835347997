/**
 * The full cycle: all items are added while nothing runs, then all are processed. `add` ends with
 * the last acknowledged add; `process` starts with `start()` and ends when everything is settled.
 */
import type { CaseContext, CaseResult, RunCase } from "../harness/case.ts";
import { Deliveries } from "../harness/deliveries.ts";
import { items, slices, type Item } from "../harness/items.ts";
import { Meter } from "../harness/meter.ts";
import { openEngine, type Engine } from "./engine.ts";

export interface CycleOptions {
  /** Groups the items are dealt to in turn. Default 1: no `groupBy` at all. */
  readonly groups?: number;
  readonly failEvery?: number;
  /** Items in an `addBulk` call; calls are awaited one after another. Default 500. */
  readonly chunk?: number;
  /** The engine runs from the start, and 4 `addBulk` calls are in flight. */
  readonly live?: true;
}

const IN_FLIGHT = 4;

export function cycle(options: CycleOptions = {}): RunCase {
  const { groups = 1, chunk = 500, failEvery, live } = options;
  return async (context: CaseContext): Promise<CaseResult> => {
    const all = items(context.items, groups);
    const deliveries = new Deliveries(all.length);
    const opened = openEngine({
      directory: context.directory,
      deliveries,
      grouped: groups > 1,
      ...(failEvery === undefined ? {} : { failEvery }),
    });
    // The first call creates the file; that is not what is measured.
    await opened.queue.status();
    if (live === true) await opened.engine.start();
    const meter = await Meter.start({ items: all.length, commits: opened.commits });
    await addAll(opened, all, { callers: live === true ? IN_FLIGHT : 1, perCall: chunk });
    if (live !== true) {
      meter.phase("add");
      await opened.engine.start();
    }
    await deliveries.complete;
    await opened.queue.drain();
    if (live !== true) meter.phase("process");
    const measurement = await meter.stop();
    const durability = opened.durability();
    await close(opened);
    deliveries.verify();
    return { ...measurement, durability };
  };
}

/** Who adds, and how much at a time. */
export interface Adders {
  /** Concurrent callers; each awaits its call before the next. */
  readonly callers: number;
  /** Items in a call; 1 is `add`, more is `addBulk`. */
  readonly perCall: number;
}

/** Adds all of the items. */
export async function addAll(
  { queue }: Pick<Engine, "queue">,
  all: readonly Item[],
  { callers, perCall }: Adders,
): Promise<void> {
  const rest = all.values();
  const calls = slices(all, perCall);
  const caller = async (): Promise<void> => {
    if (perCall === 1) for (const item of rest) await queue.add(item);
    else for (const call of calls) await queue.addBulk(call);
  };
  await Promise.all(Array.from({ length: callers }, caller));
}

/** Stops the engine, and throws when anything is left in the queue. */
export async function close({ engine, queue }: Pick<Engine, "engine" | "queue">): Promise<void> {
  const { waiting, retrying, leased, dead } = await queue.status();
  await engine.stop();
  if (waiting + retrying + leased + dead > 0) {
    throw new Error(`left behind: ${JSON.stringify({ waiting, retrying, leased, dead })}`);
  }
}
