/** Runs mutations: the user's writes and the settlement commit together. */
import type { FunctionHandle } from "convex/server";
import { v, type Value } from "convex/values";
import { errorText } from "../base/sizes.js";
import { internal } from "./_generated/api.js";
import { isBudgetUsed, limitsOf } from "./budget.js";
import type { Doc } from "./_generated/dataModel.js";
import { internalMutation, type MutationCtx } from "./_generated/server.js";
import { GROUP_BUDGET_SHARE, GROUP_MAX, SETTLE_BUDGET_SHARE } from "./limits.js";
import { outcomeOf } from "./outcome.js";
import { endRun, takenOf } from "./runs.js";
import { settleOutcomes } from "./settlement.js";
import type { Outcome, Result, Taken } from "./validators.js";

/** Runs the mutations of one work row: as many as one transaction should, then the rest. */
export const run = internalMutation({
  args: { token: v.string() },
  returns: v.null(),
  handler: async (ctx, { token }) => {
    const lease = await ctx.db
      .query("executors")
      .withIndex("by_token", (q) => q.eq("token", token))
      .unique();
    if (lease === null) return null;
    const row = await ctx.db
      .query("work")
      .withIndex("by_executor", (q) => q.eq("executor", lease._id))
      .first();
    const chunk = row === null ? null : await ctx.db.get("chunks", row.chunk);
    if (row === null || chunk === null) {
      await endRun(ctx, lease);
      return null;
    }
    const group = chunk.isolate === true ? 1 : await groupOf(ctx, chunk.fn.handle, lease);
    const taken = takenOf(row, chunk);
    const outcomes = await runGroup(ctx, taken, group);
    const dealt = await settleOutcomes(ctx, lease._id, outcomes);
    if (dealt < taken.items.length) {
      const next = await ctx.scheduler.runAfter(0, internal.mutations.run, { token });
      await ctx.db.patch("executors", lease._id, { run: next });
    } else await endRun(ctx, lease);
    return null;
  },
});

/** The size that is known to work for the function, when the largest did not. */
async function groupOf(ctx: MutationCtx, handle: string, lease: Doc<"executors">): Promise<number> {
  const known = await ctx.db
    .query("groups")
    .withIndex("by_handle", (q) => q.eq("handle", handle))
    .unique();
  return Math.min(known?.size ?? GROUP_MAX, lease.group ?? GROUP_MAX);
}

/**
 * The outcomes of the first items. A mutation that breaks a limit in company is left for the next
 * transaction, where it is the first and has all of it.
 */
async function runGroup(ctx: MutationCtx, taken: Taken, size: number): Promise<Outcome[]> {
  const outcomes: Outcome[] = [];
  for (const item of taken.items.slice(0, size)) {
    if (outcomes.length > 0 && (await isBudgetUsed(ctx))) break;
    let result: Result;
    if (item.canceled === true) result = { kind: "canceled" };
    else {
      try {
        const handle = taken.fn.handle as FunctionHandle<"mutation">;
        // The first has the transaction but for its settlement; who comes after it has less.
        const share = outcomes.length === 0 ? 1 - SETTLE_BUDGET_SHARE : GROUP_BUDGET_SHARE;
        const transactionLimits = await limitsOf(ctx, share);
        const returnValue = (await ctx.runMutation(handle, item.args as object, {
          transactionLimits,
        })) as Value | undefined;
        result = { kind: "success", returnValue: returnValue ?? null };
      } catch (thrown) {
        if (outcomes.length > 0 && (isLimit(thrown) || (await isBudgetUsed(ctx)))) break;
        result = { kind: "failed", error: errorText(thrown) };
      }
    }
    outcomes.push(outcomeOf(taken, item, result));
  }
  return outcomes;
}

/**
 * Whether this may be the platform's word for a limit. What was written is taken back and counts no
 * more, so the metrics do not tell. Being wrong costs one more run, alone.
 */
function isLimit(thrown: unknown): boolean {
  return thrown instanceof Error && /limit|too (?:much|many|large|long)/iv.test(thrown.message);
}
