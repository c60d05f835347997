/** What callers reach: what waits, what runs, and why. */
import { v } from "convex/values";
import type { Doc } from "./_generated/dataModel.js";
import { query, type QueryCtx } from "./_generated/server.js";
import { find } from "./find.js";
import { configOf, readGate } from "./gate.js";
import { LIST_BYTES_MAX, LIST_MAX } from "./limits.js";
import { placesOf } from "./places.js";
import { closingOf, isPaused } from "./queues.js";

/**
 * - `waiting`: for its turn. `delayed`: for its time, or its next attempt.
 * - `held`: for the work before it of its serial key.
 * - `running`: a run has it, though it may not have begun yet.
 */
const vWorkState = v.union(
  v.literal("waiting"),
  v.literal("delayed"),
  v.literal("held"),
  v.literal("running"),
);

type WorkState = (typeof vWorkState)["type"];

function stateOf(row: Doc<"work">): WorkState {
  if (row.executor !== undefined) return "running";
  if (row.held !== undefined) return "held";
  return row.dueAt === undefined ? "waiting" : "delayed";
}

const vListed = v.object({
  id: v.string(),
  state: vWorkState,
  pool: v.string(),
  priority: v.number(),
  /** Attempts that ended. */
  attempts: v.number(),
  name: v.string(),
  dueAt: v.optional(v.number()),
  serialKey: v.optional(v.string()),
  /** How the latest attempt failed. */
  error: v.optional(v.string()),
});

/** Unfinished work, oldest first. Pass on the `cursor` for the next page; `null` after the last. */
export const list = query({
  args: {
    state: v.optional(vWorkState),
    pool: v.optional(v.string()),
    cursor: v.optional(v.number()),
    limit: v.optional(v.number()),
  },
  returns: v.object({ items: v.array(vListed), cursor: v.union(v.number(), v.null()) }),
  handler: async (ctx, { state, pool, cursor = 0, limit = 100 }) => {
    const items: (typeof vListed)["type"][] = [];
    const most = Math.min(Math.max(Math.trunc(limit), 1), LIST_MAX);
    let [bytes, rows, last] = [0, 0, cursor];
    const work = ctx.db
      .query("work")
      .withIndex("by_creation_time", (q) => q.gt("_creationTime", cursor));
    for await (const row of work) {
      if (items.length >= most || rows >= LIST_MAX || bytes > LIST_BYTES_MAX) {
        return { items, cursor: last };
      }
      rows++;
      last = row._creationTime;
      if (state !== undefined && stateOf(row) !== state) continue;
      if (pool !== undefined && row.pool !== pool) continue;
      bytes += row.bytes;
      const chunk = await ctx.db.get("chunks", row.chunk);
      if (chunk !== null) items.push(...placesOf(row).map((place) => listedOf(row, place, chunk)));
    }
    return { items, cursor: null };
  },
});

function listedOf(row: Doc<"work">, place: number, chunk: Doc<"chunks">): (typeof vListed)["type"] {
  const { pool, priority, attempts, dueAt, key, error } = row;
  const item = { id: `${row.chunk}:${place}`, state: stateOf(row), pool, priority, attempts };
  return {
    ...item,
    name: chunk.fn.name,
    ...(dueAt === undefined ? {} : { dueAt }),
    ...(key === undefined ? {} : { serialKey: key }),
    ...(error === undefined ? {} : { error }),
  };
}

/** Counts are exact up to `more`: then as many rows were counted as one call may. */
const vSummary = v.object({
  /** `paused`: nothing new is started. `idle`: nothing waits. */
  state: v.union(v.literal("idle"), v.literal("running"), v.literal("full"), v.literal("paused")),
  waiting: v.number(),
  delayed: v.number(),
  held: v.number(),
  running: v.number(),
  /** Work, and callbacks, that were given up. */
  dead: v.number(),
  deadCallbacks: v.number(),
  maxParallelism: v.number(),
  more: v.boolean(),
});

/** What there is, in numbers. A subscription to it runs again with every change of the pool. */
export const summary = query({
  args: {},
  returns: vSummary,
  handler: async (ctx) => {
    const gate = await readGate(ctx);
    const counts = { waiting: 0, delayed: 0, held: 0, running: 0 };
    const rows = await ctx.db.query("work").take(LIST_MAX);
    for (const row of rows) counts[stateOf(row)] += placesOf(row).length;
    const dead = await ctx.db.query("dead").take(LIST_MAX);
    const callbacks = await ctx.db
      .query("callbacks")
      .withIndex("by_due", (q) => q.eq("dueAt", undefined))
      .take(LIST_MAX);
    const { maxParallelism } = configOf(gate ?? { declared: {}, override: {} });
    return {
      ...counts,
      state: await poolState(ctx, gate, maxParallelism),
      dead: dead.length,
      deadCallbacks: callbacks.length,
      maxParallelism,
      more: [rows, dead, callbacks].some((found) => found.length === LIST_MAX),
    };
  },
});

async function poolState(
  ctx: QueryCtx,
  gate: Doc<"gate"> | null,
  maxParallelism: number,
): Promise<(typeof vSummary)["type"]["state"]> {
  if (gate?.paused === true || maxParallelism === 0) return "paused";
  const parking = await ctx.db.query("parking").first();
  if (parking?.parked === true) return "full";
  if (gate?.state === "awake") return "running";
  return (await ctx.db.query("executors").first()) === null ? "idle" : "running";
}

const vExplanation = v.object({
  state: v.union(vWorkState, v.literal("finished"), v.literal("dead")),
  /** Why, in a sentence. */
  reason: v.string(),
  attempts: v.number(),
  dueAt: v.optional(v.number()),
  error: v.optional(v.string()),
});

/** Where one item is, and what it waits for. */
export const explain = query({
  args: { id: v.string() },
  returns: vExplanation,
  handler: async (ctx, { id }) => {
    const { row, chunk, place } = await find(ctx, id);
    if (row !== null) {
      const { attempts, dueAt, error } = row;
      const more = {
        ...(dueAt === undefined ? {} : { dueAt }),
        ...(error === undefined ? {} : { error }),
      };
      return { state: stateOf(row), reason: await reasonOf(ctx, row), attempts, ...more };
    }
    const letter = await ctx.db
      .query("dead")
      .withIndex("by_item", (q) => q.eq("chunk", chunk).eq("place", place))
      .unique();
    if (letter === null) {
      return { state: "finished" as const, reason: "It ended, or never was.", attempts: 0 };
    }
    const { error, attempts } = letter;
    return {
      state: "dead" as const,
      reason: "It failed for good. redrive runs it again.",
      error,
      attempts,
    };
  },
});

async function reasonOf(ctx: QueryCtx, row: Doc<"work">): Promise<string> {
  const state = stateOf(row);
  if (state === "held") return `It follows other work of the serial key "${row.key}".`;
  if (state === "delayed") {
    return row.attempts > 0 ? "It waits for its next attempt." : "Its time has not come.";
  }
  const gate = await readGate(ctx);
  if (state === "running") {
    const run = row.executor === undefined ? null : await ctx.db.get("executors", row.executor);
    if (run === null) return "Its run was lost, and is cleaned up.";
    return (row.round ?? 0) > run.taken
      ? "It is assigned to a run, which takes it next."
      : "A run has taken it: it runs, or is next in line there.";
  }
  const loop = await ctx.db.query("loop").first();
  if (gate === null || loop === null) return "Its run was lost, and is given up.";
  if (row.inbox === undefined) return "Its run was lost, and is given up.";
  if (isPaused(gate, row.pool)) return "The pool is paused.";
  const { maxParallelism } = configOf(gate);
  if (maxParallelism === 0) return "maxParallelism is 0: the pool is paused.";
  const until = closingOf(gate, loop, row.pool, Date.now());
  if (until !== null) {
    return `The throttle lets none begin before ${new Date(until).toISOString()}.`;
  }
  const parking = await ctx.db.query("parking").first();
  if (parking?.parked === true) return `All of maxParallelism ${maxParallelism} are in use.`;
  return "The loop has not looked at it yet.";
}
