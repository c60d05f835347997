/** TanStack Pacer's AsyncBatcher, which runs a batch when it is full. */
import { AsyncBatcher } from "@tanstack/pacer/async-batcher";
import type { RunCase } from "../harness/case.ts";
import type { Item } from "../harness/items.ts";
import { collecting, MAX_SIZE, type Pattern } from "./in-memory.ts";

export function pacerCase(pattern: Pattern): RunCase {
  return collecting((handle) => {
    const batcher = new AsyncBatcher<Item>(async (batch) => handle(batch), { maxSize: MAX_SIZE });
    return { add: batcher.addItem };
  }, pattern);
}
