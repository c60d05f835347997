/** Callbacks of work that ended, in the transaction that records it. */
import type { FunctionHandle } from "convex/server";
import { ITEM_BYTES_MAX, bytesOf, errorText } from "../base/sizes.js";
import type { Id } from "./_generated/dataModel.js";
import type { MutationCtx } from "./_generated/server.js";
import { limitsOf } from "./budget.js";
import { CALLBACK_BACKOFF_MS, SETTLE_BUDGET_SHARE } from "./limits.js";
import type { Outcome, Result } from "./validators.js";

/** An item that ended, with the callback that is to be told. */
export interface Ended {
  readonly chunk: Id<"chunks">;
  readonly outcome: Outcome;
  readonly callback: NonNullable<Outcome["callback"]>;
}

type Args = Record<string, unknown>;

/**
 * Calls back in a sub-transaction: what it writes commits with the settlement, and a throw undoes
 * its writes alone. False when it threw; it is tried again on its own then.
 */
export async function callBack(ctx: MutationCtx, ended: Ended): Promise<boolean> {
  const thrown = await attempt(ctx, ended.callback.handle, argsOf(ended));
  if (thrown !== null) await keepForLater(ctx, ended, thrown);
  return thrown === null;
}

/**
 * Calls each callback that takes an array once. One that throws is called with each half of it, so
 * that a single item, or what is too much at once, keeps nobody from the others. False when one
 * threw for a single item.
 */
export async function callArrays(ctx: MutationCtx, arrays: readonly Ended[]): Promise<boolean> {
  const byHandle = Map.groupBy(arrays, ({ callback }) => callback.handle);
  let isWell = true;
  for (const all of byHandle.values()) isWell = (await callArray(ctx, all)) && isWell;
  return isWell;
}

async function callArray(ctx: MutationCtx, all: readonly Ended[]): Promise<boolean> {
  const [first] = all;
  if (first === undefined) return true;
  const thrown = await attempt(ctx, first.callback.handle, { items: all.map(argsOf) });
  if (thrown === null) return true;
  if (all.length === 1) {
    await keepForLater(ctx, first, thrown);
    return false;
  }
  const middle = Math.ceil(all.length / 2);
  const isFirstWell = await callArray(ctx, all.slice(0, middle));
  return (await callArray(ctx, all.slice(middle))) && isFirstWell;
}

/** What it threw, or `null`. */
async function attempt(ctx: MutationCtx, handle: string, args: Args): Promise<string | null> {
  try {
    const transactionLimits = await limitsOf(ctx, 1 - SETTLE_BUDGET_SHARE);
    await ctx.runMutation(handle as FunctionHandle<"mutation">, args, { transactionLimits });
    return null;
  } catch (thrown) {
    return errorText(thrown);
  }
}

/** What a callback is called with. */
function argsOf({ chunk, outcome, callback }: Ended): Args {
  const { place, result } = outcome;
  return { workId: `${chunk}:${place}`, context: callback.context, result };
}

/**
 * A callback that is tried again has to fit in a document: a return value that does not is left
 * out. Only the first call gets it.
 */
function storable(result: Result, context: unknown): Result {
  const isFit = bytesOf(result) + bytesOf(context) <= ITEM_BYTES_MAX;
  return isFit || result.kind !== "success" ? result : { kind: "success", returnValue: null };
}

async function keepForLater(ctx: MutationCtx, ended: Ended, error: string): Promise<void> {
  const { chunk, outcome, callback } = ended;
  const { handle, context, array } = callback;
  const { place, result } = outcome;
  await ctx.db.insert("callbacks", {
    handle,
    workId: `${chunk}:${place}`,
    ...(context === undefined ? {} : { context }),
    ...(array === undefined ? {} : { array }),
    result: storable(result, context),
    attempts: 1,
    error,
    dueAt: Date.now() + CALLBACK_BACKOFF_MS,
  });
}
