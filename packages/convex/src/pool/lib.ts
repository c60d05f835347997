/** What callers reach: enqueue, cancel, status. */
import { ConvexError, v } from "convex/values";
import { cancelPlaces, cancelRows } from "./cancel.js";
import { checkConfig, checkPools } from "./check.js";
import { find } from "./find.js";
import type { Doc } from "./_generated/dataModel.js";
import { mutation, query, type QueryCtx } from "./_generated/server.js";
import { compare, declarePools, enter, openGate } from "./gate.js";
import { CANCEL_ROWS } from "./limits.js";
import { store, vTask, type Task } from "./store.js";
import { vConfig, vPoolConfig, vResult, vStatus, type Status } from "./validators.js";

/**
 * Stores items and wakes the loop if it sleeps. Each task is one function with the arguments of
 * many items; returns their ids, task by task.
 */
export const enqueue = mutation({
  args: {
    declared: vConfig,
    /** What code declares for pools of the instance that have a configuration of their own. */
    pools: v.optional(v.array(v.object({ pool: v.string(), declared: vPoolConfig }))),
    tasks: v.array(vTask),
    executor: v.optional(v.object({ handle: v.string(), slots: v.number() })),
  },
  returns: v.array(v.string()),
  handler: async (ctx, { declared, pools, tasks, executor }) => {
    const problem = checkConfig(declared, executor !== undefined) ?? checkPools(pools);
    if (problem !== null) throw new ConvexError(problem);
    let gate = await openGate(ctx, declared);
    if (executor === undefined && gate.executor === undefined && tasks.some(isInline)) {
      throw new ConvexError(NO_EXECUTOR);
    }
    gate = await compare(ctx, gate, declared);
    if (pools !== undefined) gate = await declarePools(ctx, gate, pools);
    if (executor !== undefined && gate.executor?.handle !== executor.handle) {
      await ctx.db.patch("gate", gate._id, { executor });
      gate = { ...gate, executor };
    }
    const ids: string[] = [];
    for (const task of tasks) ids.push(...(await store(ctx, task)));
    for (const { pool = "", priority = 0 } of tasks) {
      await enter(ctx, gate, { pool, priority });
      gate = (await ctx.db.get("gate", gate._id)) as Doc<"gate">;
    }
    return ids;
  },
});

const NO_EXECUTOR = {
  code: "OPTION_INVALID",
  field: "executor",
  message:
    "This BatchWorkpool has no executor yet: export pool.executor(), and pass its reference to " +
    "pool.setExecutorRef in the module that enqueues.",
};

function isInline({ fn }: Task): boolean {
  return fn.type === "inline";
}

async function statusOf(ctx: QueryCtx, id: string): Promise<Status> {
  const { row } = await find(ctx, id);
  if (row === null) return { state: "finished" };
  const state = row.executor === undefined ? "pending" : "running";
  return { state, previousAttempts: row.attempts };
}

/** The state of one item: `finished` also for one that is gone. */
export const status = query({
  args: { id: v.string() },
  returns: vStatus,
  handler: (ctx, { id }) => statusOf(ctx, id),
});

/** The state of each item. */
export const statusBatch = query({
  args: { ids: v.array(v.string()) },
  returns: v.array(vStatus),
  handler: (ctx, { ids }) => Promise.all(ids.map((id) => statusOf(ctx, id))),
});

/** Cancels one item. One that is finished, or gone, stays as it is. */
export const cancel = mutation({
  args: { id: v.string() },
  returns: v.null(),
  handler: async (ctx, { id }) => {
    const { row, place } = await find(ctx, id);
    if (row !== null) await cancelPlaces(ctx, row, [place]);
    return null;
  },
});

/** Cancels everything enqueued so far, or before a time, `limit` rows (64) to a transaction. */
export const cancelAll = mutation({
  args: { limit: v.optional(v.number()), before: v.optional(v.number()) },
  returns: v.null(),
  // Rows of this very millisecond have a fraction on top of it.
  handler: async (ctx, { limit = CANCEL_ROWS, before = Date.now() + 1 }) => {
    const most = Math.min(Math.max(1, Math.floor(limit)), CANCEL_ROWS);
    await cancelRows(ctx, { after: 0, before, limit: most });
    return null;
  },
});

/** How an item ended, when its result was kept; `null` while it has not. */
export const result = query({
  args: { id: v.string() },
  returns: v.union(v.null(), vResult),
  handler: async (ctx, { id }) => {
    const { chunk, place, row } = await find(ctx, id);
    const kept = await ctx.db
      .query("results")
      .withIndex("by_item", (q) => q.eq("chunk", chunk).eq("place", place))
      .first();
    if (kept !== null) return kept.result;
    if (row !== null) return null;
    const message = `The result of ${id} is not kept: there was no ttl, or it is over.`;
    throw new ConvexError({ code: "NOT_KEPT", field: "id", value: id, message });
  },
});
