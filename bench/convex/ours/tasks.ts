/** The same work as handlers of a `BatchWorkpool`. */
import { internalMutationGeneric, makeFunctionReference } from "convex/server";
import { v } from "convex/values";
import { BatchWorkpool } from "../../../packages/convex/src/client/pool.ts";
import type { ComponentApi } from "../../../packages/convex/src/pool/_generated/component.ts";
import { itemOf, watched } from "../jobs.ts";
import { components } from "./_generated/api.ts";

const tasks = new BatchWorkpool(components["pool"] as unknown as ComponentApi);

export const act = tasks.action("act", {
  args: { payload: v.string() },
  handler: async () => {
    watched.ended.push(Date.now());
  },
});

export const executor = tasks.executor();

tasks.setExecutorRef(makeFunctionReference<"action">("tasks:executor"));

export const enqueue = internalMutationGeneric({
  args: { count: v.number() },
  handler: async (ctx, { count }) => {
    const items = Array.from({ length: count }, () => ({ name: "act", args: itemOf() }));
    await tasks.enqueueBatch(ctx, items);
  },
});
