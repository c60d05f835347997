/** The user's functions of the accumulator. */
import { internalActionGeneric } from "convex/server";
import { v } from "convex/values";
import { deliver } from "./watched.js";

export const processEventsBatch = internalActionGeneric({
  args: { items: v.array(v.object({ n: v.number(), text: v.optional(v.string()) })) },
  handler: async (_, { items }) => {
    await deliver(items.map(({ n }) => n));
  },
});
