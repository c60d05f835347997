/** The user's functions: a queue that is deleted, and one that is followed by a cursor. */
import {
  internalMutationGeneric,
  internalQueryGeneric,
  type DataModelFromSchemaDefinition,
  type MutationBuilder,
  type QueryBuilder,
} from "convex/server";
import { v } from "convex/values";
import { defineBatchWorkerValidators, ping } from "../../../src/client/worker.js";
import { components, internal } from "./_generated/api.js";
import type schema from "./schema.js";
import { watched } from "./watched.js";

type DataModel = DataModelFromSchemaDefinition<typeof schema>;

const internalMutation = internalMutationGeneric as MutationBuilder<DataModel, "internal">;
const internalQuery = internalQueryGeneric as QueryBuilder<DataModel, "internal">;

const deleted = defineBatchWorkerValidators({
  batch: {
    ids: v.array(v.id("events")),
    values: v.array(v.number()),
    pad: v.optional(v.string()),
  },
});

/** What the query returned last. */
let latest: typeof deleted.vMutationArgs.type | undefined;

export const getBatch = internalQuery({
  args: deleted.vQueryArgs,
  returns: deleted.vQueryReturns,
  handler: async (ctx, { limit }) => {
    watched.queries++;
    if (limit !== undefined) watched.limits.push(limit);
    if (watched.queryFails-- > 0) throw new Error("no answer");
    const most = Math.min(limit ?? watched.batchSize, watched.batchSize);
    if (watched.repeats > 0 && latest !== undefined) {
      watched.repeats--;
      return { batch: latest };
    }
    const events = await ctx.db.query("events").take(most);
    if (events.length === 0) return { kind: "idle" as const, ...watched.idle };
    const pad = watched.padBytes === 0 ? {} : { pad: "x".repeat(watched.padBytes) };
    const batch = { ids: events.map(({ _id }) => _id), values: events.map((e) => e.value), ...pad };
    latest = batch;
    return { batch };
  },
});

export const processBatch = internalMutation({
  args: deleted.vMutationArgs,
  returns: deleted.vMutationReturns,
  handler: async (ctx, { ids, values }) => {
    watched.batches++;
    watched.sizes.push(values.length);
    if (watched.forgets) return null;
    if (watched.poison !== null && values.includes(watched.poison)) throw new Error("poison");
    for (const id of ids) await ctx.db.delete("events", id);
    await ctx.db.insert("handled", { values, at: Date.now() });
    if (watched.mutationFails-- > 0) throw new Error("no batch");
    if (watched.kicks) await ctx.runMutation(components.worker.lib.kick, { name: "events" });
    return watched.steer;
  },
});

const followed = defineBatchWorkerValidators({
  batch: { values: v.array(v.number()), seen: v.int64() },
});

/** Rows of one commit share a commit timestamp, so a page ends where one does. */
export const follow = internalQuery({
  args: followed.vQueryArgs,
  returns: followed.vQueryReturns,
  handler: async (ctx, { cursor }) => {
    const from = typeof cursor === "bigint" ? cursor : 0n;
    const page = await ctx.db
      .query("events")
      .withIndex("by_at", (q) => q.gt("at", from))
      .take(watched.batchSize);
    const seen = page.at(-1)?.at;
    if (typeof seen !== "bigint") return { kind: "idle" as const };
    const last = await ctx.db
      .query("events")
      .withIndex("by_at", (q) => q.eq("at", seen))
      .collect();
    const values = [...page.filter(({ at }) => at !== seen), ...last].map(({ value }) => value);
    return { kind: "work" as const, batch: { values, seen }, cursor: seen };
  },
});

export const note = internalMutation({
  args: followed.vMutationArgs,
  returns: followed.vMutationReturns,
  handler: async (ctx, { values }) => {
    if (watched.poison !== null && values.includes(watched.poison)) throw new Error("poison");
    await ctx.db.insert("handled", { values, at: Date.now() });
    return null;
  },
});

/** Takes a batch that was given up out of the queue. */
export const onDead = internalMutation({
  args: { name: v.string(), batch: deleted.vMutationArgs, error: v.string(), attempts: v.number() },
  handler: async (ctx, { batch }) => {
    for (const id of batch.ids) await ctx.db.delete("events", id);
    if (watched.onDeadFails-- > 0) throw new Error("no burial");
  },
});

const vConfig = v.object({
  debounceMs: v.optional(v.number()),
  maxAttempts: v.optional(v.number()),
  isolate: v.optional(v.boolean()),
  backoff: v.optional(v.object({ baseDelay: v.number(), maxDelay: v.number() })),
});

/** Inserts work and pings, as an app does. */
export const add = internalMutation({
  args: {
    value: v.number(),
    debounceMs: v.optional(v.number()),
    config: v.optional(vConfig),
    buries: v.optional(v.boolean()),
    name: v.optional(v.string()),
  },
  handler: async (ctx, { value, debounceMs, config, buries = false, name = "events" }) => {
    await ctx.db.insert("events", { value, at: ctx.db.vars.commitTs });
    await ping(ctx, components.worker, {
      name,
      workQuery: internal.events.getBatch,
      workerMutation: internal.events.processBatch,
      ...(buries ? { onDead: internal.events.onDead } : {}),
      ...(config === undefined ? {} : { config }),
      ...(debounceMs === undefined ? {} : { config: { debounceMs } }),
    });
  },
});

/** Inserts work for the worker that follows a cursor. */
export const append = internalMutation({
  args: { values: v.array(v.number()), maxAttempts: v.optional(v.number()) },
  handler: async (ctx, { values, maxAttempts }) => {
    for (const value of values) {
      await ctx.db.insert("events", { value, at: ctx.db.vars.commitTs });
    }
    await ping(ctx, components.worker, {
      name: "followed",
      workQuery: internal.events.follow,
      workerMutation: internal.events.note,
      ...(maxAttempts === undefined ? {} : { config: { maxAttempts } }),
    });
  },
});

/** Pings the same name with other functions. */
export const addRenamed = internalMutation({
  args: { value: v.number() },
  handler: async (ctx, { value }) => {
    await ctx.db.insert("events", { value, at: ctx.db.vars.commitTs });
    await ping(ctx, components.worker, {
      name: "events",
      workQuery: internal.events.follow,
      workerMutation: internal.events.note,
    });
  },
});
