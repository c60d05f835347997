/**
 * How long one awaited add takes, with nothing waiting and with a large backlog. Two engines with a
 * file each, both running with a paused queue, take turns: 50 adds to the one, 50 to the other.
 */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import type {
  CaseContext,
  CaseResult,
  Latency,
  LatencyPair,
  LatencyRound,
} from "../harness/case.ts";
import { Deliveries } from "../harness/deliveries.ts";
import { item, type Item } from "../harness/items.ts";
import { Meter } from "../harness/meter.ts";
import { quantile } from "../harness/statistics.ts";
import { openEngine, type Engine } from "./engine.ts";

const LOAD_PER_CALL = 5_000;
const TURNS = 8;
const CALLS_PER_TURN = 50;
const BULK_CALLS_PER_TURN = 10;
const BULK = 100;

export async function latency(context: CaseContext): Promise<CaseResult> {
  const empty = await openPaused(join(context.directory, "empty"));
  const loaded = await openPaused(join(context.directory, "loaded"));
  const meter = await Meter.start({ items: context.items, commits: loaded.commits });
  for (let from = 0; from < context.items; from += LOAD_PER_CALL) {
    const count = Math.min(LOAD_PER_CALL, context.items - from);
    await loaded.queue.addBulk(Array.from({ length: count }, (_, n) => item(from + n)));
  }
  meter.phase("add");
  const measurement = await meter.stop();
  const backlog = await loaded.queue.getBufferSize();
  if (backlog !== context.items) throw new Error(`${context.items} were added, ${backlog} wait`);

  const rounds: LatencyRound[] = [];
  for (let round = 0; round < context.rounds; round++) {
    rounds.push({
      add: await alternate(empty, loaded, CALLS_PER_TURN, (queue) => queue.add(item(0))),
      addBulk100: await alternate(empty, loaded, BULK_CALLS_PER_TURN, (queue) =>
        queue.addBulk(HUNDRED),
      ),
    });
  }
  const durability = loaded.durability();
  await Promise.all([empty.engine.stop(), loaded.engine.stop()]);
  return { ...measurement, durability, latency: rounds };
}

const HUNDRED: readonly Item[] = Array.from({ length: BULK }, (_, id) => item(id));

async function openPaused(directory: string): Promise<Engine> {
  mkdirSync(directory);
  const opened = openEngine({ directory, deliveries: new Deliveries(0) });
  await opened.queue.pause();
  await opened.engine.start();
  return opened;
}

async function alternate(
  empty: Engine,
  loaded: Engine,
  calls: number,
  call: (queue: Engine["queue"]) => Promise<unknown>,
): Promise<LatencyPair> {
  const waited = { empty: [] as number[], loaded: [] as number[] };
  for (let turn = 0; turn < TURNS; turn++) {
    for (const [engine, list] of [
      [empty, waited.empty],
      [loaded, waited.loaded],
    ] as const) {
      for (let n = 0; n < calls; n++) {
        const before = performance.now();
        await call(engine.queue);
        list.push(performance.now() - before);
      }
    }
  }
  return { empty: summary(waited.empty), loaded: summary(waited.loaded) };
}

function summary(waited: readonly number[]): Latency {
  return { p50: quantile(waited, 0.5), p99: quantile(waited, 0.99) };
}
