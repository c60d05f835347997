/** What callers reach: enqueue, cancel, status. */
import { ConvexError, v } from "convex/values";
import { vValue } from "../base/values.js";
import { ITEM_BYTES_MAX, bytesOf, packChunks } from "../base/sizes.js";
import { cancelPlaces, cancelRows } from "./cancel.js";
import { checkConfig } from "./check.js";
import type { Doc, Id } from "./_generated/dataModel.js";
import { mutation, query, type MutationCtx, type QueryCtx } from "./_generated/server.js";
import { compare, enter, openGate } from "./gate.js";
import { CANCEL_ROWS, DELAY_MS_MAX, GROUP_MAX } from "./limits.js";
import {
  vConfig,
  vFunction,
  vOnComplete,
  vResult,
  vRetry,
  vStatus,
  type Status,
} from "./validators.js";

const vTask = v.object({
  fn: vFunction,
  items: v.array(vValue),
  contexts: v.optional(v.array(vValue)),
  onComplete: v.optional(vOnComplete),
  retry: v.optional(vRetry),
  keepMs: v.optional(v.number()),
  isolate: v.optional(v.boolean()),
  /** The items are lost rather than run twice, when a run ends without a word. */
  once: v.optional(v.boolean()),
  runAt: v.optional(v.number()),
  pool: v.optional(v.string()),
  priority: v.optional(v.number()),
});

type Task = (typeof vTask)["type"];

/**
 * Stores items and wakes the loop if it sleeps. Each task is one function with the arguments of
 * many items; returns their ids, task by task.
 */
export const enqueue = mutation({
  args: {
    declared: vConfig,
    tasks: v.array(vTask),
    executor: v.optional(v.object({ handle: v.string(), slots: v.number() })),
  },
  returns: v.array(v.string()),
  handler: async (ctx, { declared, tasks, executor }) => {
    const problem = checkConfig(declared, executor !== undefined);
    if (problem !== null) throw new ConvexError(problem);
    let gate = await openGate(ctx, declared);
    if (executor === undefined && gate.executor === undefined && tasks.some(isInline)) {
      throw new ConvexError(NO_EXECUTOR);
    }
    gate = await compare(ctx, gate, declared);
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

async function store(ctx: MutationCtx, task: Task): Promise<string[]> {
  const { fn, items, contexts, onComplete, retry, keepMs, isolate } = task;
  const { pool = "", priority = 0, once = false } = task;
  const shared = contexts?.length === 1 ? bytesOf(contexts[0]) : 0;
  const sizes = items.map((args: unknown, i) => {
    const bytes = sizeOf("args", args, i);
    return bytes + (shared > 0 || contexts === undefined ? 0 : sizeOf("context", contexts[i], i));
  });
  const now = Date.now();
  const runAt = Math.min(task.runAt ?? now, now + DELAY_MS_MAX);
  const when = runAt > now ? { dueAt: runAt } : { inbox: ctx.db.vars.commitTs };
  const ids: string[] = [];
  for (const { from, end, bytes } of packChunks(
    sizes,
    fn.type === "mutation" ? GROUP_MAX : undefined,
  )) {
    const own =
      contexts === undefined || contexts.length === 1 ? contexts : contexts.slice(from, end);
    const chunk = await ctx.db.insert("chunks", {
      fn,
      items: items.slice(from, end),
      ...(own === undefined ? {} : { contexts: own }),
      ...(onComplete === undefined ? {} : { onComplete }),
      ...(retry === undefined ? {} : { retry }),
      ...(keepMs === undefined ? {} : { keepMs }),
      ...(isolate === undefined ? {} : { isolate }),
    });
    const count = end - from;
    const fixed = { chunk, type: fn.type, pool, priority, attempts: 0, again: !once };
    await ctx.db.insert("work", { ...fixed, count, bytes: bytes + shared, ...when });
    for (let place = 0; place < count; place++) ids.push(`${chunk}:${place}`);
  }
  return ids;
}

function sizeOf(field: string, value: unknown, index: number): number {
  const bytes = bytesOf(value);
  if (bytes <= ITEM_BYTES_MAX) return bytes;
  const message =
    `${field} of item ${index} has ${bytes} bytes, at most ${ITEM_BYTES_MAX} fit in a document. ` +
    "Store it in a table or a file, and pass its id.";
  throw new ConvexError({ code: "ITEM_TOO_LARGE", field, value: bytes, message });
}

interface Found {
  readonly chunk: Id<"chunks">;
  readonly place: number;
  readonly row: Doc<"work"> | null;
}

/** Where an item is; throws when the id was not made here. */
async function find(ctx: QueryCtx, id: string): Promise<Found> {
  const [name = "", number = ""] = id.split(":");
  const chunk = ctx.db.normalizeId("chunks", name);
  const place = /^\d+$/v.test(number) ? Number(number) : null;
  if (chunk === null || place === null) {
    const message = `"${id}" is not the id of work of this pool.`;
    throw new ConvexError({ code: "NOT_FOUND", field: "id", value: id, message });
  }
  const rows = ctx.db.query("work").withIndex("by_chunk", (q) => q.eq("chunk", chunk));
  for await (const row of rows) {
    const isIn = row.places?.includes(place) ?? true;
    if (isIn && row.done?.includes(place) !== true) return { chunk, place, row };
  }
  return { chunk, place, row: null };
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
