/** Enqueueing without a `Workpool`: for libraries that are given a component and options. */
import type {
  DefaultFunctionArgs,
  FunctionReference,
  FunctionType,
  FunctionVisibility,
} from "convex/server";
import type { LogLevel } from "../base/log.js";
import type { RunMutationCtx } from "./contexts.js";
import type { WorkId } from "./work-id.js";
import type { EnqueueOptions, RetryBehavior } from "./work-options.js";
import { Workpool, type WorkpoolComponent } from "./workpool.js";

/** Options of a call, and those of the pool that it is for. */
type Options<Context, ReturnValue> = EnqueueOptions<Context, ReturnValue> & {
  /** How an action is tried again. Default: it is not. */
  retryBehavior?: RetryBehavior;
  maxParallelism?: number;
  logLevel?: LogLevel;
};

/** Runs a function in the pool of a component. Returns the id of the work. */
export async function enqueue<
  Type extends FunctionType,
  Args extends DefaultFunctionArgs,
  ReturnValue,
  Context,
>(
  component: WorkpoolComponent,
  ctx: RunMutationCtx,
  type: Type,
  fn: FunctionReference<Type, FunctionVisibility, Args, NoInfer<ReturnValue>>,
  ...[args, options]: [args: Args, options: Options<Context, ReturnValue>]
): Promise<WorkId> {
  const [id] = await enqueueBatch(component, ctx, type, fn, [args], options);
  return id as WorkId;
}

/** Runs a function for each of the arguments. Returns the ids in their order. */
export function enqueueBatch<
  Type extends FunctionType,
  Args extends DefaultFunctionArgs,
  ReturnValue,
  Context,
>(
  component: WorkpoolComponent,
  ctx: RunMutationCtx,
  type: Type,
  fn: FunctionReference<Type, FunctionVisibility, Args, NoInfer<ReturnValue>>,
  ...[argsArray, options]: [argsArray: Args[], options: Options<Context, ReturnValue>]
): Promise<WorkId[]> {
  const { retryBehavior, maxParallelism, logLevel, ...rest } = options;
  const pool = new Workpool(component, {
    ...(maxParallelism === undefined ? {} : { maxParallelism }),
    ...(logLevel === undefined ? {} : { logLevel }),
  });
  const each = rest as EnqueueOptions<Context, ReturnValue>;
  if (type === "mutation") return pool.enqueueMutationBatch(ctx, fn as never, argsArray, each);
  if (type === "query") return pool.enqueueQueryBatch(ctx, fn as never, argsArray, each);
  return pool.enqueueActionBatch(ctx, fn as never, argsArray, {
    ...each,
    retry: retryBehavior ?? false,
  });
}
