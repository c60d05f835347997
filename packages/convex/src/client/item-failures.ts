/** How `processBatch` says that some items failed. */
import { v } from "convex/values";
import { errorText } from "../base/sizes.js";
import { FAILED_ITEMS } from "../batch/verdicts.js";

/** An item that failed: its place in `items`, and why. */
export interface FailedItem {
  index: number;
  error: unknown;
}

/** What `failItems` returns. */
export const vItemFailures = v.object({
  [FAILED_ITEMS]: v.array(v.object({ index: v.number(), error: v.string() })),
});

export type ItemFailures = (typeof vItemFailures)["type"];

/**
 * To be returned by `processBatch`: these items failed, and come again or become dead letters; all
 * others are done. A throw instead fails every item.
 *
 *     return failItems([{ index: 3, error: "no such address" }]);
 */
export function failItems(failed: readonly FailedItem[]): ItemFailures {
  return {
    [FAILED_ITEMS]: failed.map(({ index, error }) => ({ index, error: errorText(error) })),
  };
}
