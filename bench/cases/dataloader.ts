/** dataloader, without its cache: every item is another one. */
import DataLoader from "dataloader";
import type { RunCase } from "../harness/case.ts";
import type { Item } from "../harness/items.ts";
import { collecting, MAX_SIZE, type Pattern } from "./in-memory.ts";

export function dataloaderCase(pattern: Pattern): RunCase {
  return collecting((handle) => {
    const loader = new DataLoader<Item, Item>(
      async (batch) => {
        handle(batch);
        return batch;
      },
      { maxBatchSize: MAX_SIZE, cache: false },
    );
    return { add: (item) => loader.load(item) };
  }, pattern);
}
