/** The app's calls of `@convex-dev/workpool`. */
import { Workpool } from "@convex-dev/workpool";
import { internalMutationGeneric } from "convex/server";
import { enqueueOn, vRequest, type PoolLike } from "../requests.ts";
import { components } from "./_generated/api.ts";

export const enqueue = internalMutationGeneric({
  args: vRequest,
  handler: async (ctx, request) => {
    const { maxParallelism } = request;
    const component = components["workpool"] as never;
    await enqueueOn(
      new Workpool(component, { maxParallelism }) as unknown as PoolLike,
      ctx,
      request,
    );
  },
});
