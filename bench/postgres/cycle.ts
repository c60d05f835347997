/** Ours in one process: the full cycle, and adding alone. */
import { addAll, close, type Adders } from "../cases/cycle.ts";
import { Deliveries } from "../harness/deliveries.ts";
import { items, type Item } from "../harness/items.ts";
import { openEngine, type Engine } from "./engine.ts";
import { measured, type RunPostgres } from "./measured.ts";

/** All items are added in awaited calls of 500 while nothing runs, then all are processed. */
export function cycle(groups = 1): RunPostgres {
  return async (context) => {
    const all = items(context.items, groups);
    const deliveries = new Deliveries(all.length);
    const opened = openEngine(context.database, marking(deliveries), groups > 1);
    await open(opened);
    const result = await measured(context, async (phase) => {
      await addAll(opened, all, { callers: 1, perCall: 500 });
      phase("add");
      await process(opened, deliveries);
      phase("process");
    });
    await close(opened);
    deliveries.verify();
    return result;
  };
}

/** What was added is processed afterwards, untimed, and checked. */
export function adds(adders: Adders): RunPostgres {
  return async (context) => {
    const all = items(context.items);
    const deliveries = new Deliveries(all.length);
    const opened = openEngine(context.database, marking(deliveries));
    await open(opened);
    const result = await measured(context, async (phase) => {
      await addAll(opened, all, adders);
      phase("add");
    });
    await process(opened, deliveries);
    await close(opened);
    deliveries.verify();
    return result;
  };
}

/** The first call makes the tables, which is not measured; `drain()` paused an earlier run. */
async function open({ queue }: Pick<Engine, "queue">): Promise<void> {
  await queue.resume();
}

function marking(deliveries: Deliveries): (batch: readonly Item[]) => void {
  return (batch) => {
    for (const { id } of batch) deliveries.mark(id);
  };
}

async function process({ engine, queue }: Engine, deliveries: Deliveries): Promise<void> {
  await engine.start();
  await deliveries.complete;
  await queue.drain();
}
