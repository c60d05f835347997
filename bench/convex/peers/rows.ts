/** Rows that `@convex-dev/migrations` goes over and changes. */
import { Migrations } from "@convex-dev/migrations";
import { internalMutationGeneric, makeFunctionReference } from "convex/server";
import { v } from "convex/values";
import { itemOf, watched } from "../jobs.ts";
import { components } from "./_generated/api.ts";

const migrations = new Migrations(components["migrations"] as never);

export const fill = internalMutationGeneric({
  args: { count: v.number() },
  handler: async (ctx, { count }) => {
    for (let row = 0; row < count; row++) await ctx.db.insert("rows", itemOf());
  },
});

export const patchAll = migrations.define({
  table: "rows",
  batchSize: 100,
  migrateOne: () => {
    watched.ended.push(Date.now());
    return { done: true };
  },
});

export const start = internalMutationGeneric({
  args: {},
  handler: async (ctx) => {
    await migrations.runOne(ctx, makeFunctionReference("rows:patchAll") as never);
  },
});
