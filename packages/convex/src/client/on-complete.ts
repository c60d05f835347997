/** Defining the mutation that is called when work ended. */
import {
  internalMutationGeneric,
  type GenericDataModel,
  type GenericMutationCtx,
  type RegisteredMutation,
} from "convex/server";
import { v, type Infer } from "convex/values";
import {
  vOnCompleteArgs,
  type AnyValidator,
  type OnCompleteArgs,
  type RunResult,
  type WorkId,
} from "./work-id.js";

interface Ended<Context extends AnyValidator, Returns extends AnyValidator> {
  workId: WorkId;
  context: Infer<Context>;
  result: RunResult<Infer<Returns>>;
}

export interface OnCompleteDefinition<
  DataModel extends GenericDataModel,
  Context extends AnyValidator,
  Returns extends AnyValidator,
> {
  /** Checks the context. Default: anything. */
  context?: Context;
  /** Checks the return value of the work. Default: anything. */
  returnValue?: Returns;
  handler: (ctx: GenericMutationCtx<DataModel>, args: Ended<Context, Returns>) => Promise<void>;
}

export function defineOnComplete<
  DataModel extends GenericDataModel,
  Context extends AnyValidator,
  Returns extends AnyValidator,
>(
  definition: OnCompleteDefinition<DataModel, Context, Returns>,
  // Not behind a name of our own: Convex finds the arguments by the name of this very type.
): RegisteredMutation<"internal", OnCompleteArgs<Infer<Context>, Infer<Returns>>, null> {
  const { context, returnValue, handler } = definition;
  const anything: AnyValidator = v.optional(v.any());
  const registered: unknown = internalMutationGeneric({
    args: vOnCompleteArgs<AnyValidator, AnyValidator>(context ?? anything, returnValue ?? anything)
      .fields,
    returns: v.null(),
    handler: async (ctx, args: unknown) => {
      await handler(ctx as GenericMutationCtx<DataModel>, args as Ended<Context, Returns>);
      return null;
    },
  });
  return registered as RegisteredMutation<
    "internal",
    OnCompleteArgs<Infer<Context>, Infer<Returns>>,
    null
  >;
}
