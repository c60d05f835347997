/** Ids of work, and how its end is described. */
import { v, type Validator, type VAny, type VString } from "convex/values";

/** The id of one item of work, for life. */
export type WorkId = string & { readonly __isWorkId: true };

export const vWorkId = v.string() as VString<WorkId>;

/** How a run ended. */
export type RunResult<Returns = unknown> =
  | { kind: "success"; returnValue: Returns }
  | { kind: "failed"; error: string }
  | { kind: "canceled" };

/** Where work is. An id that is not known any more is `finished`. */
export type WorkStatus =
  | { state: "pending"; previousAttempts: number }
  | { state: "running"; previousAttempts: number }
  | { state: "finished" };

// The types of validators are what says which values they accept; they are not spelled out here.
// oxlint-disable-next-line typescript/no-explicit-any
export type AnyValidator = Validator<any, "required" | "optional", any>;

/* oxlint-disable typescript/explicit-function-return-type */
/* oxlint-disable typescript/explicit-module-boundary-types */

/** A validator of a {@link RunResult} with this return value. */
export function vRunResult<Returns extends AnyValidator = VAny>(returnValue: Returns) {
  return v.union(
    v.object({ kind: v.literal("success"), returnValue }),
    v.object({ kind: v.literal("failed"), error: v.string() }),
    v.object({ kind: v.literal("canceled") }),
  );
}

/** A validator of a {@link RunResult} with any return value. */
export const vResult = vRunResult(v.any());

/** A validator of the arguments of an `onComplete` mutation. */
export function vOnCompleteArgs<
  Context extends AnyValidator = VAny,
  Returns extends AnyValidator = VAny,
>(context?: Context, returnValue?: Returns) {
  return v.object({
    workId: vWorkId,
    context: (context ?? v.any()) as Context,
    result: vRunResult((returnValue ?? v.any()) as Returns),
  });
}

/** The same, for any context and any return value. */
export const vOnComplete = vOnCompleteArgs();

/** What an `onComplete` mutation is called with. */
// Arguments of a function need an index signature, which an interface does not have.
// oxlint-disable-next-line typescript/consistent-type-definitions
export type OnCompleteArgs<Context = unknown, Returns = unknown> = {
  /** The id of the work that ended. */
  workId: string;
  /** What was given as `context` when it was enqueued. */
  context: Context;
  result: RunResult<Returns>;
};
