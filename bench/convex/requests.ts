/** One call of a user's mutation that enqueues, on our pool or on the one it is compared with. */
import { makeFunctionReference } from "convex/server";
import { v, type Infer } from "convex/values";
import { itemOf } from "./jobs.ts";

export const vRequest = v.object({
  kind: v.union(v.literal("action"), v.literal("mutation")),
  count: v.number(),
  maxParallelism: v.number(),
  onComplete: v.boolean(),
  isolate: v.boolean(),
  /** How long the action takes, ms. */
  ms: v.optional(v.number()),
});

export type Request = Infer<typeof vRequest>;

type Call = (ctx: unknown, fn: unknown, args: unknown, options: object) => Promise<unknown>;

/** What both pools have in common. */
export type PoolLike = Readonly<
  Record<"enqueueAction" | "enqueueActionBatch" | "enqueueMutation" | "enqueueMutationBatch", Call>
>;

export async function enqueueOn(pool: PoolLike, ctx: unknown, request: Request): Promise<void> {
  const { kind, count, onComplete, isolate, ms } = request;
  const options = {
    ...(onComplete ? { onComplete: makeFunctionReference<"mutation">("jobs:ended") } : {}),
    ...(isolate ? { isolate } : {}),
  };
  const item = itemOf(ms);
  const items = Array.from({ length: count }, () => item);
  const act = makeFunctionReference<"action">("jobs:act");
  const write = makeFunctionReference<"mutation">("jobs:write");
  if (kind === "action" && count === 1) await pool.enqueueAction(ctx, act, item, options);
  else if (kind === "action") await pool.enqueueActionBatch(ctx, act, items, options);
  else if (count === 1) await pool.enqueueMutation(ctx, write, item, options);
  else await pool.enqueueMutationBatch(ctx, write, items, options);
}
