/** The executor of actions and queries. */
import { v, type Value } from "convex/values";
import type { FunctionHandle } from "convex/server";
import { api } from "./_generated/api.js";
import { internalAction, type ActionCtx } from "./_generated/server.js";
import { Executor } from "./execute.js";
import type { FunctionType } from "./validators.js";

export const run = internalAction({
  args: { token: v.string(), upTo: v.number() },
  returns: v.null(),
  handler: async (ctx, { token, upTo }) => {
    const executor = new Executor(
      {
        take: (args) => ctx.runMutation(api.runs.take, args),
        waiting: (args) => ctx.runQuery(api.runs.waiting, args),
        settle: (args) => ctx.runMutation(api.runs.settle, args),
        call: ({ type, handle }, args) => call(ctx, type, handle, args) as Promise<Value>,
      },
      token,
    );
    await executor.run(upTo);
    return null;
  },
});

async function call(
  ctx: ActionCtx,
  type: FunctionType,
  handle: string,
  args: object,
): Promise<unknown> {
  if (type === "query") return ctx.runQuery(handle as FunctionHandle<"query">, args);
  try {
    return await ctx.runAction(handle as FunctionHandle<"action">, args);
  } catch (thrown) {
    if (type !== "either" || !isOtherKind(thrown)) throw thrown;
    return ctx.runMutation(handle as FunctionHandle<"mutation">, args);
  }
}

/** The platform refused to run a mutation as an action; nothing of it has run. */
function isOtherKind(thrown: unknown): boolean {
  return (
    thrown instanceof Error && /defined as (?:a )?mutation|is not an action/iv.test(thrown.message)
  );
}
