/** From what an app passes to what the component is called with. */
import {
  createFunctionHandle,
  getFunctionName,
  type DefaultFunctionArgs,
  type FunctionReference,
  type FunctionType,
  type FunctionVisibility,
} from "convex/server";
import { ConvexError } from "convex/values";
import { CALL_BYTES_MAX, bytesOf } from "../base/sizes.js";
import type { ComponentApi } from "../pool/_generated/component.js";
import {
  DEFAULT_RETRY_BEHAVIOR,
  type EnqueueOptions,
  type RetryBehavior,
  type WorkpoolOptions,
  type WorkpoolRetryOptions,
} from "./work-options.js";

/** One function with the arguments of many items, as the component stores it. */
export type Task = ComponentApi["lib"]["enqueue"]["_args"]["tasks"][number];

/** A reference of which only the kind is known; types were checked where it was passed. */
export type AnyReference = FunctionReference<FunctionType, FunctionVisibility>;

/** What of a task follows from the options of a call. */
export async function taskOptions<Context, ReturnType>(
  options: EnqueueOptions<Context, ReturnType>,
): Promise<Omit<Task, "items" | "fn">> {
  const { context, isolate, priority, runAfter, serialKey } = options;
  const runAt = options.runAt ?? (runAfter === undefined ? undefined : Date.now() + runAfter);
  return {
    ...(await callbackOf(options)),
    ...(serialKey === undefined ? {} : { key: serialKey }),
    ...(context === undefined ? {} : { contexts: [context] }),
    ...(isolate === undefined ? {} : { isolate }),
    ...(priority === undefined ? {} : { priority }),
    ...(runAt === undefined ? {} : { runAt }),
  };
}

async function callbackOf<Context, ReturnType>({
  onComplete,
  onCompleteBatch,
  onCompleteExcludeKinds,
}: EnqueueOptions<Context, ReturnType>): Promise<Pick<Task, "onComplete">> {
  const exclude = [...(onCompleteExcludeKinds ?? [])];
  if (onComplete && onCompleteBatch) {
    const message = "Give onComplete, or onCompleteBatch, not both: each end is told once.";
    throw new ConvexError({ code: "OPTION_INVALID", field: "onCompleteBatch", message });
  }
  if (onComplete) {
    return { onComplete: { handle: await createFunctionHandle(onComplete), exclude } };
  }
  if (!onCompleteBatch) return {};
  const handle = await createFunctionHandle(onCompleteBatch);
  return { onComplete: { handle, exclude, array: true } };
}

/** What a pool's own options declare for it, beside those of its instance. */
export function declarationsOf({
  pool = "",
  throttle,
}: WorkpoolOptions): Pick<ComponentApi["lib"]["enqueue"]["_args"], "pools"> {
  return throttle === undefined ? {} : { pools: [{ pool, declared: { throttle } }] };
}

/** The name for logs; a handle has no name but itself. */
export function nameOf(fn: AnyReference): string {
  return typeof fn === "string" ? fn : getFunctionName(fn);
}

/** As few calls as the size of one allows. */
export function* callsOf(
  argsArray: readonly DefaultFunctionArgs[],
): Generator<DefaultFunctionArgs[]> {
  let call: DefaultFunctionArgs[] = [];
  let bytes = 0;
  for (const args of argsArray) {
    const size = bytesOf(args);
    if (call.length > 0 && bytes + size > CALL_BYTES_MAX) {
      yield call;
      call = [];
      bytes = 0;
    }
    call.push(args);
    bytes += size;
  }
  if (call.length > 0) yield call;
}

/** How an action is retried; one that is not must not run twice. */
export function retryOf(
  pool: WorkpoolRetryOptions,
  retry: boolean | RetryBehavior | undefined,
): RetryBehavior | undefined {
  if (typeof retry === "object") return retry;
  return (retry ?? pool.retryActionsByDefault ?? false)
    ? (pool.defaultRetryBehavior ?? DEFAULT_RETRY_BEHAVIOR)
    : undefined;
}
