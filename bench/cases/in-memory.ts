/**
 * The two patterns that every in-memory row runs. The clock stops when the handler of the last item
 * has resolved:
 *
 * - `callers`: 64 callers, each awaits its add before the next;
 * - `burst`: 10,000 adds in one go, all awaited, then the next burst.
 *
 * Both {@link CLOSE} times with the same collector, as a process has one for as long as it lives;
 * the run in the middle counts.
 *
 * What an awaited add stands for differs: with dataloader the item's handler has resolved; with the
 * others the item is in the buffer.
 */
import type { CaseContext, CaseResult, RunCase } from "../harness/case.ts";
import { Deliveries } from "../harness/deliveries.ts";
import { items, slices, type Item } from "../harness/items.ts";
import { Meter } from "../harness/meter.ts";
import { CLOSE, middle } from "./median-of.ts";

/** Most items in a batch, for every row. */
export const MAX_SIZE = 500;

const CALLERS = 64;
const BURST = 10_000;

/** How the items arrive. */
export type Pattern = "callers" | "burst";

/** What a row collects with. */
export interface Collector {
  readonly add: (item: Item) => Promise<unknown>;
  readonly close?: () => Promise<void>;
}

/** Opens a collector whose handler is `handle`. */
export type OpenCollector = (
  handle: (batch: readonly Item[]) => void,
) => Collector | Promise<Collector>;

export function collecting(open: OpenCollector, pattern: Pattern): RunCase {
  return async (context: CaseContext): Promise<CaseResult> => {
    const all = items(context.items);
    let deliveries = new Deliveries(all.length);
    const collector = await open((batch) => {
      for (const { id } of batch) deliveries.mark(id);
    });
    const results: CaseResult[] = [];
    for (let nth = 0; nth < CLOSE; nth++) {
      deliveries = new Deliveries(all.length);
      const meter = await Meter.start({ items: all.length });
      await (pattern === "callers" ? byCallers(all, collector.add) : inBursts(all, collector.add));
      await deliveries.complete;
      const measurement = await meter.stop();
      deliveries.verify();
      results.push({ ...measurement, durability: "none: lost with the process" });
    }
    await collector.close?.();
    return middle(results);
  };
}

async function byCallers(all: readonly Item[], add: Collector["add"]): Promise<void> {
  const rest = all.values();
  const caller = async (): Promise<void> => {
    for (const item of rest) await add(item);
  };
  await Promise.all(Array.from({ length: CALLERS }, caller));
}

async function inBursts(all: readonly Item[], add: Collector["add"]): Promise<void> {
  for (const burst of slices(all, BURST)) await Promise.all(burst.map(add));
}
