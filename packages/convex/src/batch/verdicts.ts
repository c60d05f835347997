/** What `processBatch` returns to say that some items failed and all others succeeded. */
import { errorText } from "../base/sizes.js";
import type { ItemFailure } from "./validators.js";

/** A name that no other object has by chance. */
export const FAILED_ITEMS = "batchworkFailedItems";

/** Characters of the error text of one item: there may be thousands in one batch. */
const TEXT_MAX = 500;

/** The items that a return value names, in their order. Throws when it names one that is none. */
export function failuresOf(returned: unknown, count: number): ItemFailure[] {
  if (typeof returned !== "object" || returned === null || !(FAILED_ITEMS in returned)) return [];
  const named = returned[FAILED_ITEMS] as readonly { index: number; error: unknown }[];
  const failures = new Map<number, ItemFailure>();
  for (const { index, error } of named) {
    if (!Number.isInteger(index) || index < 0 || index >= count) {
      throw new Error(
        `failItems names the item ${index} of a batch of ${count}: places are 0 to ${count - 1}.`,
      );
    }
    if (!failures.has(index)) {
      failures.set(index, { index, error: errorText(error).slice(0, TEXT_MAX) });
    }
  }
  return [...failures.values()].sort((a, b) => a.index - b.index);
}
