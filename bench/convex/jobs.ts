/** The user's functions, which do next to nothing: what is left is what a component costs. */
import { internalActionGeneric, internalMutationGeneric } from "convex/server";
import { getConvexSize, v } from "convex/values";

/** When items ended, in virtual ms since the epoch. */
export const watched = { ended: [] as number[] };

const ITEM_BYTES = 200;

/** The arguments of one item: 200 bytes as Convex counts them. */
export function itemOf(ms?: number): { payload: string; ms?: number } {
  const rest = ms === undefined ? {} : { ms };
  const payload = "x".repeat(ITEM_BYTES - getConvexSize({ payload: "", ...rest }));
  return { payload, ...rest };
}

const args = { payload: v.string(), ms: v.optional(v.number()) };

export const act = internalActionGeneric({
  args,
  handler: async (_, { ms = 0 }) => {
    if (ms > 0) {
      await new Promise((resolve) => {
        setTimeout(resolve, ms);
      });
    }
    watched.ended.push(Date.now());
  },
});

export const write = internalMutationGeneric({
  args,
  handler: async () => {
    watched.ended.push(Date.now());
  },
});

export const ended = internalMutationGeneric({
  args: { workId: v.string(), context: v.optional(v.any()), result: v.any() },
  handler: async () => null,
});
