/** What callers reach. */
import { v, type Value } from "convex/values";
import { log } from "../base/log.js";
import { vValue } from "../base/values.js";
import type { Doc } from "./_generated/dataModel.js";
import { env, mutation, query, type MutationCtx } from "./_generated/server.js";
import { isSame } from "./answer.js";
import { checked } from "./check.js";
import { LIST_MAX } from "./limits.js";
import { vConfig, vExplanation, vListed, vStatus, type Config } from "./validators.js";
import { byName, configOf, delayOf, halt, known, loopOf, wake } from "./wake.js";

const vDeclared = {
  name: v.string(),
  workQuery: v.string(),
  workerMutation: v.string(),
  onDead: v.optional(v.string()),
  config: v.optional(vConfig),
};

/**
 * Makes the worker if there is none, and wakes it if it sleeps; does nothing while it runs or is
 * stopped. What it runs is taken from the ping that wakes it.
 */
export const ping = mutation({
  args: vDeclared,
  returns: v.null(),
  handler: async (ctx, args) => {
    const worker = (await byName(ctx, args.name)) ?? (await create(ctx, args));
    const config = args.config ?? worker.config;
    const { workQuery, workerMutation, onDead } = args;
    const declared = { workQuery, workerMutation, onDead, config: checked(config) };
    const isNew =
      worker.workQuery !== workQuery ||
      worker.workerMutation !== workerMutation ||
      worker.onDead !== onDead ||
      !isSame(worker.config, config);
    if (worker.state === "idle") {
      const now = { ...worker, config };
      await wake(ctx, now, delayOf(configOf(now).debounceMs), isNew ? declared : {});
    } else if (isNew) {
      if (worker.state === "stopped" || worker.failing) {
        await ctx.db.patch("workers", worker._id, declared);
      } else await warn(ctx, worker, args);
    }
    return null;
  },
});

async function create(
  ctx: MutationCtx,
  { name, workQuery, workerMutation, onDead, config = {} }: { name: string } & Declared,
): Promise<Doc<"workers">> {
  const worker = await ctx.db.insert("workers", {
    name,
    workQuery,
    workerMutation,
    ...(onDead === undefined ? {} : { onDead }),
    config: checked(config),
    state: "idle",
    failing: false,
    warned: false,
  });
  await ctx.db.insert("loops", { worker, turn: 0, runAt: 0, workedAt: 0, failures: 0 });
  await ctx.db.insert("monitors", { worker });
  return (await ctx.db.get("workers", worker)) as Doc<"workers">;
}

interface Declared {
  readonly workQuery: string;
  readonly workerMutation: string;
  readonly onDead?: string;
  readonly config?: Config;
}

/** Two places of the code differ, and the worker runs: said once, and nothing is rewritten. */
async function warn(ctx: MutationCtx, worker: Doc<"workers">, args: Declared): Promise<void> {
  if (worker.warned) return;
  log(env.LOG_LEVEL, "WARN", "worker.declared_twice", {
    name: worker.name,
    ignored: JSON.stringify({ ...args, name: undefined }),
    advice: "ping with the same functions and config everywhere",
  });
  await ctx.db.patch("workers", worker._id, { warned: true });
}

/** Halts the worker: pings are ignored until `start`. A turn that runs commits, or is fenced. */
export const stop = mutation({
  args: { name: v.string() },
  returns: v.null(),
  handler: async (ctx, { name }) => {
    const worker = await known(ctx, name);
    await halt(ctx, worker._id);
    await ctx.db.patch("workers", worker._id, { state: "stopped" });
    return null;
  },
});

/** Starts a worker that was stopped, with what was last pinged; any other goes on as it was. */
export const start = mutation({
  args: { name: v.string() },
  returns: v.null(),
  handler: async (ctx, { name }) => {
    const worker = await known(ctx, name);
    if (worker.state === "stopped") await wake(ctx, worker, delayOf(configOf(worker).debounceMs));
    return null;
  },
});

/** Has the worker take a turn now, whatever it does or waits for; starts it if it is stopped. */
export const kick = mutation({
  args: { name: v.string() },
  returns: v.null(),
  handler: async (ctx, { name }) => {
    await wake(ctx, await known(ctx, name), 0);
    return null;
  },
});

/** The run state of a worker; `null` for a name that was never pinged. */
export const status = query({
  args: { name: v.string() },
  returns: v.union(v.null(), vStatus),
  handler: async (ctx, { name }) => {
    const worker = await byName(ctx, name);
    return worker === null ? null : { kind: worker.state };
  },
});

/** The cursor that was last committed; `null` when there is none. */
export const getCursor = query({
  args: { name: v.string() },
  returns: v.any(),
  handler: async (ctx, { name }): Promise<Value | null> => {
    const worker = await byName(ctx, name);
    const loop = worker === null ? null : await loopOf(ctx, worker._id);
    return loop?.cursor ?? null;
  },
});

/** Sets the cursor for the next turn; without one, the worker begins from the start. */
export const setCursor = mutation({
  args: { name: v.string(), cursor: v.optional(vValue) },
  returns: v.null(),
  handler: async (ctx, { name, cursor }) => {
    const loop = await loopOf(ctx, (await known(ctx, name))._id);
    if (loop !== null) await ctx.db.patch("loops", loop._id, { cursor });
    return null;
  },
});

/** What the worker does and why, with its latest error; `null` for a name never pinged. */
export const explain = query({
  args: { name: v.string() },
  returns: v.union(v.null(), vExplanation),
  handler: async (ctx, { name }) => {
    const worker = await byName(ctx, name);
    const loop = worker === null ? null : await loopOf(ctx, worker._id);
    if (worker === null || loop === null) return null;
    const { failures, lastError, run, runAt, workedAt, limit } = loop;
    const letters = await ctx.db
      .query("dead")
      .withIndex("by_name", (q) => q.eq("name", name))
      .take(LIST_MAX);
    return {
      name,
      state: worker.state,
      config: configOf(worker),
      failures,
      workedAt,
      dead: letters.length,
      ...(limit === undefined ? {} : { limit }),
      ...(lastError === undefined ? {} : { lastError }),
      ...(run === undefined ? {} : { nextTurnAt: runAt }),
    };
  },
});

/** Workers by name, after `after`; at most `limit`, 100 by default. */
export const list = query({
  args: { after: v.optional(v.string()), limit: v.optional(v.number()) },
  returns: v.array(vListed),
  handler: async (ctx, { after = "", limit = 100 }) => {
    const workers = await ctx.db
      .query("workers")
      .withIndex("by_name", (q) => q.gt("name", after))
      .take(Math.min(Math.max(Math.trunc(limit), 0), LIST_MAX));
    return workers.map(({ name, state, failing }) => ({ name, state, failing }));
  },
});

/** Forgets the worker, its cursor included. False when there was none. The work stays. */
export const remove = mutation({
  args: { name: v.string() },
  returns: v.boolean(),
  handler: async (ctx, { name }) => {
    const worker = await byName(ctx, name);
    if (worker === null) return false;
    await halt(ctx, worker._id);
    for (const table of ["loops", "monitors"] as const) {
      const row = await ctx.db
        .query(table)
        .withIndex("by_worker", (q) => q.eq("worker", worker._id))
        .unique();
      if (row !== null) await ctx.db.delete(table, row._id);
    }
    await ctx.db.delete("workers", worker._id);
    return true;
  },
});
