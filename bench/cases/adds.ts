/** Adding alone, acknowledged on disk. What was added is processed afterwards, untimed, and checked. */
import type { CaseContext, CaseResult, RunCase } from "../harness/case.ts";
import { Deliveries } from "../harness/deliveries.ts";
import { items } from "../harness/items.ts";
import { Meter } from "../harness/meter.ts";
import { addAll, close, type Adders } from "./cycle.ts";
import { openEngine } from "./engine.ts";

export function adds(adders: Adders): RunCase {
  return async (context: CaseContext): Promise<CaseResult> => {
    const all = items(context.items);
    const deliveries = new Deliveries(all.length);
    const opened = openEngine({ directory: context.directory, deliveries });
    await opened.queue.status();
    const meter = await Meter.start({ items: all.length, commits: opened.commits });
    await addAll(opened, all, adders);
    meter.phase("add");
    const measurement = await meter.stop();
    const durability = opened.durability();
    await opened.engine.start();
    await deliveries.complete;
    await opened.queue.drain();
    await close(opened);
    deliveries.verify();
    return { ...measurement, durability };
  };
}
