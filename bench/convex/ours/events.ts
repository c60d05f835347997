/** The app's rows that our worker works off. */
import { defineBatchWorkerValidators, ping } from "../../../packages/convex/src/client/worker.ts";
import {
  internalMutationGeneric,
  internalQueryGeneric,
  makeFunctionReference,
} from "convex/server";
import { v } from "convex/values";
import { itemOf, watched } from "../jobs.ts";
import { components } from "./_generated/api.ts";

const BATCH = 100;

export const add = internalMutationGeneric({
  args: {},
  handler: async (ctx) => {
    await ctx.db.insert("events", { ...itemOf(), insertedAt: ctx.db.vars.commitTs });
    await ping(ctx, components["worker"] as never, {
      name: "events",
      workQuery: makeFunctionReference("events:next") as never,
      workerMutation: makeFunctionReference("events:work") as never,
    });
  },
});

const { vQueryArgs, vQueryReturns, vMutationArgs } = defineBatchWorkerValidators({
  batch: { ids: v.array(v.string()) },
});

export const next = internalQueryGeneric({
  args: vQueryArgs,
  returns: vQueryReturns,
  handler: async (ctx, { cursor }) => {
    const found = (await ctx.db
      .query("events")
      .withIndex("insertedAt", (q) => q.gte("insertedAt", cursor ?? 0n))
      .take(BATCH)) as { _id: string; insertedAt: bigint }[];
    const last = found.at(-1);
    if (last === undefined) return { kind: "idle" as const };
    const ids = found.map(({ _id }) => _id);
    return {
      kind: "work" as const,
      batch: { ids },
      cursor: last.insertedAt,
    };
  },
});

export const work = internalMutationGeneric({
  args: vMutationArgs,
  handler: async (ctx, { ids }) => {
    for (const id of ids) {
      await ctx.db.delete(id as never);
      watched.ended.push(Date.now());
    }
  },
});
