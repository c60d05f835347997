/** The user's functions. */
import {
  internalActionGeneric,
  internalMutationGeneric,
  internalQueryGeneric,
  makeFunctionReference,
} from "convex/server";
import { v } from "convex/values";
import { vValue } from "../../../src/base/values.js";
import { NonRetryableError, Workpool } from "../../../src/client/pool.js";
import type { ComponentApi } from "../../../src/pool/_generated/component.js";
import { components } from "./_generated/api.js";
import { watched } from "./watched.js";

/** An action that takes `ms`, or throws. */
export const work = internalActionGeneric({
  args: { name: v.string(), ms: v.optional(v.number()), fail: v.optional(v.string()) },
  handler: async (_, { name, ms = 0, fail }) => {
    watched.started.push(name);
    const span: (typeof watched.spans)[number] = { name, from: Date.now() };
    watched.spans.push(span);
    watched.running++;
    watched.most = Math.max(watched.most, watched.running);
    try {
      if (ms > 0) {
        await new Promise((resolve) => {
          setTimeout(resolve, ms);
        });
      }
      if (fail === "for good") throw new NonRetryableError("for good");
      if (fail === "until third" && watched.started.filter((one) => one === name).length < 3) {
        throw new Error("not yet");
      }
      if (fail === "at length") throw new Error("x".repeat(1_000_000));
      if (fail === "always") throw new Error("always");
    } finally {
      span.to = Date.now();
      watched.running--;
    }
    watched.done.push(name);
    return name.toUpperCase();
  },
});

/** An action that does not return, the first so many times: its executor dies. */
export const hang = internalActionGeneric({
  args: { name: v.string(), times: v.optional(v.number()) },
  handler: (_, { name, times = Number.POSITIVE_INFINITY }) => {
    watched.started.push(name);
    if (watched.started.filter((one) => one === name).length <= times) {
      return Promise.withResolvers<never>().promise;
    }
    watched.done.push(name);
    return Promise.resolve(name);
  },
});

/** Returns as many bytes as it is told. */
export const large = internalActionGeneric({
  args: { bytes: v.number() },
  handler: async (_, { bytes }) => "x".repeat(bytes),
});

export const write = internalMutationGeneric({
  args: { name: v.string(), fail: v.optional(v.boolean()), bytes: v.optional(v.number()) },
  handler: async (ctx, { name, fail, bytes = 0 }) => {
    await ctx.db.insert("ran", { name: name + "x".repeat(bytes), at: Date.now() });
    if (fail === true) throw new Error(`no ${name}`);
    return name;
  },
});

/** Writes a row, and returns as many bytes as it is told. */
export const writeLarge = internalMutationGeneric({
  args: { bytes: v.number() },
  handler: async (ctx, { bytes }) => {
    await ctx.db.insert("ran", { name: "large", at: Date.now() });
    return "x".repeat(bytes);
  },
});

/** Writes many rows of 900 KB. */
export const writeMany = internalMutationGeneric({
  args: { name: v.string(), rows: v.number() },
  handler: async (ctx, { name, rows }) => {
    for (let row = 0; row < rows; row++) {
      await ctx.db.insert("ran", { name: name + "x".repeat(900_000), at: row });
    }
    return name;
  },
});

export const read = internalQueryGeneric({
  args: { name: v.string() },
  handler: async (_, { name }) => `read ${name}`,
});

export const ended = internalMutationGeneric({
  args: { workId: v.string(), context: v.optional(vValue), result: vValue },
  handler: async (ctx, { workId, context = null, result }) => {
    await ctx.db.insert("ended", { workId, context, result });
    if (context === "throw" || (context === "throw twice" && watched.thrown < 2)) {
      watched.thrown++;
      throw new Error("no callback");
    }
  },
});

/** What ended together. */
export const endedMany = internalMutationGeneric({
  args: {
    items: v.array(v.object({ workId: v.string(), context: v.optional(vValue), result: vValue })),
  },
  handler: async (ctx, { items }) => {
    watched.arrays.push(items.length);
    for (const { workId, context = null, result } of items) {
      await ctx.db.insert("ended", { workId, context, result });
    }
    const isPoison = items.some(
      ({ result }) => (result as { returnValue?: string }).returnValue === "POISON",
    );
    if (isPoison && watched.thrown < 100) {
      watched.thrown++;
      throw new Error("no array");
    }
  },
});

/** Calls its functions through the pool. */
export const through = internalActionGeneric({
  args: {},
  handler: async (ctx) => {
    const pooled = new Workpool(components["pool"] as unknown as ComponentApi).ctx(ctx);
    const answers = [
      await pooled.runQuery(makeFunctionReference<"query">("jobs:read"), { name: "a" }),
      await pooled.runMutation(makeFunctionReference<"mutation">("jobs:write"), { name: "b" }),
      await pooled.runAction(makeFunctionReference<"action">("jobs:work"), { name: "c" }),
    ] as string[];
    await pooled.scheduler.runAfter(1000, makeFunctionReference<"mutation">("jobs:write"), {
      name: "later",
    });
    const never = await pooled.scheduler.runAfter(
      1000,
      makeFunctionReference<"action">("jobs:work"),
      { name: "never" },
    );
    await pooled.scheduler.cancel(never);
    return answers;
  },
});

/** The status query of a pool that is being replaced. */
export const statusOfOld = internalQueryGeneric({
  args: { id: v.string() },
  handler: async () => ({ state: "finished" }),
});
