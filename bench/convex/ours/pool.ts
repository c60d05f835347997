/** The app's calls of the pool. */
import { internalMutationGeneric } from "convex/server";
import { Workpool } from "../../../packages/convex/src/client/pool.ts";
import type { ComponentApi } from "../../../packages/convex/src/pool/_generated/component.ts";
import { enqueueOn, vRequest, type PoolLike } from "../requests.ts";
import { components } from "./_generated/api.ts";

export const enqueue = internalMutationGeneric({
  args: vRequest,
  handler: async (ctx, request) => {
    const { maxParallelism } = request;
    const component = components["pool"] as unknown as ComponentApi;
    const pool = new Workpool(component, { maxParallelism }) as unknown as PoolLike;
    await enqueueOn(pool, ctx, request);
  },
});
