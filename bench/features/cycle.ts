/** The full cycle with one feature in use. */
import { join } from "node:path";
import { Batchwork } from "batchwork";
import { sqlite } from "batchwork/sqlite";
import { close } from "../cases/cycle.ts";
import type { CaseContext, CaseResult, RunCase } from "../harness/case.ts";
import { Deliveries } from "../harness/deliveries.ts";
import { items, slices, type Item } from "../harness/items.ts";
import { Meter } from "../harness/meter.ts";
import {
  durabilityOf,
  walCommits,
  watchConnections,
  weakestSynchronous,
} from "../harness/sqlite-facts.ts";
import type { Feature } from "./features.ts";

const PER_CALL = 500;

const PLAIN = { maxSize: 500, maxWaitMs: 1 } as const;

export function cycleWith(feature: Feature): RunCase {
  const { options = {}, adding, beside, prepare, returned = () => undefined } = feature;
  return async (context: CaseContext): Promise<CaseResult> => {
    prepare?.();
    const all = items(context.items);
    const deliveries = new Deliveries(all.length);
    watchConnections();
    const path = join(context.directory, "batchwork.db");
    const engine = new Batchwork({ storage: sqlite({ path }) });
    const queue = engine.batch<Item>({
      name: "bench",
      ...PLAIN,
      handler: (ctx) => {
        for (const { id } of ctx.batch) deliveries.mark(id);
        return returned(ctx);
      },
      ...options,
    });
    if (beside !== undefined) {
      engine.batch<Item>({ name: "beside", ...PLAIN, handler: () => undefined, ...beside });
    }
    await queue.status();
    const commits = (): number => walCommits(path);
    const meter = await Meter.start({ items: all.length, commits });
    for (const call of slices(all, PER_CALL)) await queue.addBulk(call, adding);
    meter.phase("add");
    await engine.start();
    await deliveries.complete;
    await queue.drain();
    meter.phase("process");
    const measurement = await meter.stop();
    const durability = durabilityOf(weakestSynchronous());
    await close({ engine, queue });
    deliveries.verify();
    return { ...measurement, durability };
  };
}
