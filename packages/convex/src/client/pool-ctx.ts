/** Running functions through the pool, and waiting for them, in actions. */
import type {
  DefaultFunctionArgs,
  FunctionReference,
  FunctionReturnType,
  FunctionVisibility,
} from "convex/server";
import type { ComponentApi } from "../pool/_generated/component.js";
import type { RunActionCtx, RunMutationCtx } from "./contexts.js";
import type { EnqueueOptions } from "./work-options.js";
import type { RunResult, WorkId } from "./work-id.js";

/** Pauses between two looks at a result, ms. A sleeping action is billed, and so is a look. */
const LOOKS_MS = [50, 100, 200, 400];
const LATER_LOOK_MS = 1000;

/** The part of `Workpool` that is needed here. */
interface Pool {
  readonly component: ComponentApi;
  enqueueAny(
    ctx: RunMutationCtx,
    type: "query" | "mutation" | "action" | "either",
    fn: FunctionReference<"query" | "mutation" | "action", FunctionVisibility>,
    args: DefaultFunctionArgs,
    options: EnqueueOptions,
  ): Promise<WorkId>;
  cancel(ctx: RunMutationCtx, id: WorkId): Promise<void>;
}

type Callable<Type extends "query" | "mutation" | "action"> = FunctionReference<
  Type,
  FunctionVisibility
>;

type ArgsOf<Fn extends Callable<"query" | "mutation" | "action">> = Fn["_args"];

/** Like a context's: a call waits for its turn in the pool, and throws what the function threw. */
export interface PoolRunner {
  runQuery<Fn extends Callable<"query">>(
    fn: Fn,
    args?: ArgsOf<Fn>,
  ): Promise<FunctionReturnType<Fn>>;
  runMutation<Fn extends Callable<"mutation">>(
    fn: Fn,
    args?: ArgsOf<Fn>,
  ): Promise<FunctionReturnType<Fn>>;
  runAction<Fn extends Callable<"action">>(
    fn: Fn,
    args?: ArgsOf<Fn>,
  ): Promise<FunctionReturnType<Fn>>;
  readonly scheduler: {
    runAfter<Fn extends Callable<"mutation" | "action">>(
      delayMs: number,
      fn: Fn,
      args?: ArgsOf<Fn>,
    ): Promise<WorkId>;
    runAt<Fn extends Callable<"mutation" | "action">>(
      at: number | Date,
      fn: Fn,
      args?: ArgsOf<Fn>,
    ): Promise<WorkId>;
    /** Only for ids that this scheduler returned. */
    cancel(id: WorkId): Promise<void>;
  };
}

export type PoolCtx<Ctx> = Omit<Ctx, keyof PoolRunner> & PoolRunner;

export function poolCtx<Ctx extends RunActionCtx>(pool: Pool, ctx: Ctx): PoolCtx<Ctx> {
  const run =
    (type: "query" | "mutation" | "action") =>
    async (fn: Callable<"query" | "mutation" | "action">, args: DefaultFunctionArgs = {}) => {
      const id = await pool.enqueueAny(ctx, type, fn, args, {});
      const result = await pollResult(ctx, pool.component, id);
      if (result.kind === "success") return result.returnValue;
      throw new Error(result.kind === "failed" ? result.error : "The work was canceled.");
    };
  const at = (
    runAt: number,
    fn: Callable<"mutation" | "action">,
    args: DefaultFunctionArgs = {},
  ): Promise<WorkId> => pool.enqueueAny(ctx, "either", fn, args, { runAt });
  const runner = {
    runQuery: run("query"),
    runMutation: run("mutation"),
    runAction: run("action"),
    scheduler: {
      runAfter: (
        delayMs: number,
        fn: Callable<"mutation" | "action">,
        args?: DefaultFunctionArgs,
      ) => at(Date.now() + delayMs, fn, args),
      runAt: (
        when: number | Date,
        fn: Callable<"mutation" | "action">,
        args?: DefaultFunctionArgs,
      ) => at(typeof when === "number" ? when : when.getTime(), fn, args),
      cancel: (id: WorkId) => pool.cancel(ctx, id),
    },
  };
  return { ...ctx, ...runner };
}

/** Looks until the work ended. Throws `NOT_KEPT` when it did, and its result is not there. */
export async function pollResult(
  ctx: RunActionCtx,
  component: ComponentApi,
  id: WorkId,
): Promise<RunResult> {
  for (let look = 0; ; look++) {
    const found = await ctx.runQuery(component.lib.result, { id });
    if (found !== null) return found;
    const delayMs = LOOKS_MS[look] ?? LATER_LOOK_MS;
    await new Promise<void>((resolve) => {
      setTimeout(resolve, delayMs);
    });
  }
}
