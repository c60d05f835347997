/** Memory storage: for queues that need not survive the process, and for simulations. */
import { MemoryData } from "./data.ts";
import { MemoryStorage } from "./storage.ts";

export type { MemoryStorage } from "./storage.ts";
export type { MemoryTx } from "./transact.ts";

/** Options of {@link memory}. */
export interface MemoryOptions {
  /**
   * `"text"` keeps encoded items, as a database would, so a handler gets copies. `"reference"`
   * keeps the values themselves: as fast as can be, and a change made after `add` is seen by the
   * handler. `maxBytes` then counts every item of a chunk as the average. Default `"text"`.
   */
  readonly payload?: "text" | "reference";
}

/** A storage whose data live as long as it does: closing it loses nothing, leaving it does. */
export function memory({ payload = "text" }: MemoryOptions = {}): MemoryStorage {
  return new MemoryStorage(new MemoryData(payload));
}
