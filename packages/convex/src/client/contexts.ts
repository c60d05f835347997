/** What the clients need of the context that a function is given: any of Convex's will do. */
import type {
  GenericActionCtx,
  GenericDataModel,
  GenericMutationCtx,
  GenericQueryCtx,
} from "convex/server";

/** A query's, a mutation's or an action's context. */
export type RunQueryCtx = Pick<GenericQueryCtx<GenericDataModel>, "runQuery"> | RunMutationCtx;

/** A mutation's or an action's context. */
export type RunMutationCtx =
  Pick<GenericMutationCtx<GenericDataModel>, "runQuery" | "runMutation"> | RunActionCtx;

/** An action's context. */
export type RunActionCtx = Pick<
  GenericActionCtx<GenericDataModel>,
  "runQuery" | "runMutation" | "runAction"
>;
