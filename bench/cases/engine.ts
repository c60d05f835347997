/** Batchwork on SQLite as the rows use it: a file of its own, everything else by default. */
import { join } from "node:path";
import { Batchwork, type Batch, type BatchContext } from "batchwork";
import { sqlite } from "batchwork/sqlite";
import type { Deliveries } from "../harness/deliveries.ts";
import type { Item } from "../harness/items.ts";
import {
  durabilityOf,
  walCommits,
  watchConnections,
  weakestSynchronous,
} from "../harness/sqlite-facts.ts";

const MAX_SIZE = 500;

export interface EngineOptions {
  readonly directory: string;
  readonly deliveries: Deliveries;
  readonly grouped?: boolean;
  /** Every item with an id divisible by this fails its first attempt, by `ctx.fail`. */
  readonly failEvery?: number;
}

export interface Engine {
  readonly engine: Batchwork;
  readonly queue: Batch<Item>;
  readonly commits: () => number;
  /** The durability read back from the engine's own connections. */
  readonly durability: () => string;
}

export function openEngine(options: EngineOptions): Engine {
  watchConnections();
  const path = join(options.directory, "batchwork.db");
  const engine = new Batchwork({ storage: sqlite({ path }) });
  const queue = engine.batch<Item>({
    name: "bench",
    maxSize: MAX_SIZE,
    maxWaitMs: 1,
    retries: { max: 1, strategy: "fixed", baseDelay: 1 },
    handler: counting(options),
    ...(options.grouped === true ? { groupBy: (item: Item) => item.group } : {}),
  });
  return {
    engine,
    queue,
    commits: () => walCommits(path),
    durability: () => durabilityOf(weakestSynchronous()),
  };
}

function counting(options: EngineOptions): (ctx: BatchContext<Item>) => Promise<void> {
  const { deliveries, failEvery = Infinity } = options;
  return async (ctx) => {
    for (const [index, { id }] of ctx.batch.entries()) {
      const fails = ctx.attempt === 1 && id % failEvery === 0;
      if (fails) ctx.fail(index, new Error("fails the first time"));
      else deliveries.mark(id);
    }
  };
}
