/** Batchwork with `persist: false`. */
import { Batchwork } from "batchwork";
import { memory } from "batchwork/memory";
import type { RunCase } from "../harness/case.ts";
import type { Item } from "../harness/items.ts";
import { collecting, MAX_SIZE, type Pattern } from "./in-memory.ts";

export function memoryCase(pattern: Pattern): RunCase {
  return collecting(async (handle) => {
    const engine = new Batchwork({ storage: memory() });
    const queue = engine.batch<Item>({
      name: "bench",
      maxSize: MAX_SIZE,
      maxWaitMs: 10,
      persist: false,
      handler: async (ctx) => handle(ctx.batch),
    });
    await engine.start();
    return { add: (item) => queue.add(item), close: async () => engine.stop() };
  }, pattern);
}
