/** The user's functions of the accumulator. */
import { internalActionGeneric } from "convex/server";
import { v } from "convex/values";
import { failItems, vItemFailures } from "../../../src/client/batch.js";
import { deliver, watched } from "./watched.js";

export const processEventsBatch = internalActionGeneric({
  args: { items: v.array(v.object({ n: v.number(), text: v.optional(v.string()) })) },
  returns: v.union(v.null(), vItemFailures),
  handler: async (_, { items }) => {
    const batch = items.map(({ n }) => n);
    await deliver(batch);
    const rejected = batch.flatMap((n, index) => (watched.rejected.includes(n) ? [index] : []));
    if (rejected.length === 0) return null;
    return failItems(rejected.map((index) => ({ index, error: new Error("rejected") })));
  },
});
