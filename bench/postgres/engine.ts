/** Batchwork on PostgreSQL as the rows use it: everything by default. */
import { Batchwork, type Batch } from "batchwork";
import { postgres } from "batchwork/postgres";
import type { Item } from "../harness/items.ts";

const MAX_SIZE = 500;

export interface Engine {
  readonly engine: Batchwork;
  readonly queue: Batch<Item>;
}

/** `handle` is given each batch, once. */
export function openEngine(
  database: string,
  handle: (batch: readonly Item[]) => void,
  grouped = false,
): Engine {
  const engine = new Batchwork({ storage: postgres({ connectionString: database }) });
  const queue = engine.batch<Item>({
    name: "bench",
    maxSize: MAX_SIZE,
    maxWaitMs: 1,
    retries: { max: 1, strategy: "fixed", baseDelay: 1 },
    handler: async (ctx) => handle(ctx.batch),
    ...(grouped ? { groupBy: (item: Item) => item.group } : {}),
  });
  return { engine, queue };
}
