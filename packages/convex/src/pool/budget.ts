/** How much of a transaction user functions may use. */
import type { MutationCtx } from "./_generated/server.js";
import { GROUP_BUDGET_SHARE } from "./limits.js";

/** Whether a group of user functions has used its share of the transaction. */
export async function isBudgetUsed(ctx: MutationCtx): Promise<boolean> {
  const metrics = await ctx.meta.getTransactionMetrics();
  return Object.values(metrics).some(
    ({ used, remaining }) => used > (used + remaining) * GROUP_BUDGET_SHARE,
  );
}

/** What a user's function may use, so that the transaction stays below a share of each budget. */
export async function limitsOf(ctx: MutationCtx, share: number): Promise<Record<string, number>> {
  const metrics = await ctx.meta.getTransactionMetrics();
  return Object.fromEntries(
    Object.entries(metrics).map(([name, { used, remaining }]) => [
      name,
      Math.max(1, Math.floor((used + remaining) * share) - used),
    ]),
  );
}
