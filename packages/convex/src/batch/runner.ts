/** What flushes: an action that carries batches from what waits to the user's action. */
import type { FunctionHandle } from "convex/server";
import { v } from "convex/values";
import { errorText } from "../base/sizes.js";
import { internal } from "./_generated/api.js";
import { internalAction } from "./_generated/server.js";
import { RUN_MS } from "./limits.js";
import type { ItemFailure, Step } from "./validators.js";
import { failuresOf } from "./verdicts.js";

/**
 * One batch after the other, each settled in the transaction that seals the next. It ends when
 * nothing is due, when a batch failed, or after a minute, when another one takes over.
 */
export const run = internalAction({
  args: { group: v.id("groups"), token: v.number() },
  returns: v.null(),
  handler: async (ctx, args) => {
    const until = Date.now() + RUN_MS;
    let step: Step = await ctx.runMutation(internal.flush.begin, args);
    while (step !== null) {
      const { flush, processBatch, items } = step;
      let error: string | undefined;
      let failed: ItemFailure[] = [];
      try {
        const handle = processBatch as FunctionHandle<"action", { items: unknown[] }, unknown>;
        failed = failuresOf(await ctx.runAction(handle, { items }), items.length);
      } catch (thrown) {
        error = errorText(thrown);
      }
      step = await ctx.runMutation(internal.flush.settle, {
        ...args,
        flush,
        more: Date.now() < until,
        ...(error === undefined ? {} : { error }),
        ...(failed.length === 0 ? {} : { failed }),
      });
    }
    return null;
  },
});
