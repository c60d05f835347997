/** What callers reach: dead letters, of work that failed for good and of callbacks given up. */
import { v } from "convex/values";
import { vValue } from "../base/values.js";
import { forget } from "./bury.js";
import type { Doc, Id } from "./_generated/dataModel.js";
import { mutation, query, type MutationCtx, type QueryCtx } from "./_generated/server.js";
import { enter, readGate, wake } from "./gate.js";
import { DEAD_CALL_MAX, LIST_BYTES_MAX, LIST_MAX } from "./limits.js";
import { vResult } from "./validators.js";

const vTaskLetter = v.object({
  /** The id of the work. */
  id: v.string(),
  name: v.string(),
  args: vValue,
  error: v.string(),
  /** Attempts that it had. */
  attempts: v.number(),
  pool: v.string(),
  at: v.number(),
  expiresAt: v.number(),
});

const vCallbackLetter = v.object({
  id: v.string(),
  workId: v.string(),
  context: v.optional(vValue),
  result: vResult,
  error: v.string(),
  attempts: v.number(),
  expiresAt: v.number(),
});

/** Work that failed for good, oldest first; `after`: the `at` of the last one that is known. */
export const list = query({
  args: { after: v.optional(v.number()), limit: v.optional(v.number()) },
  returns: v.array(vTaskLetter),
  handler: async (ctx, { after = 0, limit = 100 }) => {
    const letters: (typeof vTaskLetter)["type"][] = [];
    const most = Math.min(Math.max(Math.trunc(limit), 0), LIST_MAX);
    let bytes = 0;
    const rows = ctx.db
      .query("dead")
      .withIndex("by_creation_time", (q) => q.gt("_creationTime", after));
    for await (const row of rows) {
      bytes += row.bytes;
      if (letters.length >= most || (bytes > LIST_BYTES_MAX && letters.length > 0)) break;
      const chunk = await ctx.db.get("chunks", row.chunk);
      if (chunk === null) continue;
      const { place, error, attempts, pool, expiresAt, _creationTime: at } = row;
      const id = `${row.chunk}:${place}`;
      const [args = null, { name }] = [chunk.items[place], chunk.fn];
      letters.push({ id, name, args, error, attempts, pool, at, expiresAt });
    }
    return letters;
  },
});

/** Callbacks that threw until they were given up, oldest first; at most `limit`, 100 by default. */
export const listCallbacks = query({
  args: { limit: v.optional(v.number()) },
  returns: v.array(vCallbackLetter),
  handler: async (ctx, { limit = 100 }) => {
    const rows = await deadCallbacks(ctx, Math.min(Math.max(Math.trunc(limit), 0), LIST_MAX));
    return rows.map(({ _id: id, workId, context, result, error, attempts, expiresAt = 0 }) => {
      const letter = { id, workId, result, error, attempts, expiresAt };
      return context === undefined ? letter : { ...letter, context };
    });
  },
});

const vIds = { ids: v.optional(v.array(v.string())), limit: v.optional(v.number()) };

/**
 * Runs dead letters again, with all their attempts and under the same id: those of `ids`, of work
 * and of callbacks, or else the oldest work, at most `limit`. At most 64, and 4 MiB, to a call.
 * Returns how many.
 */
export const redrive = mutation({
  args: vIds,
  returns: v.number(),
  handler: async (ctx, args) => {
    const { tasks, callbacks } = await chosen(ctx, args);
    for (const letter of tasks) await redriveTask(ctx, letter);
    for (const row of callbacks) {
      const again = { attempts: 0, dueAt: Date.now(), expiresAt: undefined };
      await ctx.db.patch("callbacks", row._id, again);
    }
    const gate = await readGate(ctx);
    if (callbacks.length > 0 && gate?.state === "idle") await wake(ctx, gate);
    return tasks.length + callbacks.length;
  },
});

/** Deletes dead letters, chosen as for `redrive`. Returns how many. */
export const discard = mutation({
  args: vIds,
  returns: v.number(),
  handler: async (ctx, args) => {
    const { tasks, callbacks } = await chosen(ctx, args);
    for (const letter of tasks) await forget(ctx, letter);
    for (const { _id } of callbacks) await ctx.db.delete("callbacks", _id);
    return tasks.length + callbacks.length;
  },
});

async function redriveTask(ctx: MutationCtx, letter: Doc<"dead">): Promise<void> {
  const { chunk, place, pool, priority, key, again, bytes } = letter;
  const found = await ctx.db.get("chunks", chunk);
  await ctx.db.delete("dead", letter._id);
  const gate = await readGate(ctx);
  if (found === null || gate === null) return;
  const now = ctx.db.vars.commitTs;
  const fixed = { chunk, pool, priority, again, bytes, type: found.fn.type };
  const waiting = { places: [place], count: 1, attempts: 0, inbox: now };
  const order = key === undefined ? {} : { key, order: now, seq: place };
  await ctx.db.insert("work", { ...fixed, ...waiting, ...order });
  await enter(ctx, gate, { pool, priority });
}

interface Chosen {
  readonly tasks: Doc<"dead">[];
  readonly callbacks: Doc<"callbacks">[];
}

async function chosen(
  ctx: MutationCtx,
  { ids, limit = DEAD_CALL_MAX }: { ids?: string[]; limit?: number },
): Promise<Chosen> {
  const most = Math.min(Math.max(Math.trunc(limit), 0), DEAD_CALL_MAX);
  if (ids === undefined) {
    return { tasks: withinBytes(await ctx.db.query("dead").take(most)), callbacks: [] };
  }
  const tasks: Doc<"dead">[] = [];
  const callbacks: Doc<"callbacks">[] = [];
  for (const id of ids.slice(0, most)) {
    const task = await deadTask(ctx, id);
    if (task !== null) tasks.push(task);
    const name = ctx.db.normalizeId("callbacks", id);
    const callback = name === null ? null : await ctx.db.get("callbacks", name);
    if (callback !== null && callback.dueAt === undefined) callbacks.push(callback);
  }
  return { tasks: withinBytes(tasks), callbacks };
}

/** As many as one transaction should read the payloads of; at least one. */
function withinBytes(letters: readonly Doc<"dead">[]): Doc<"dead">[] {
  let bytes = 0;
  return letters.filter((letter, i) => {
    bytes += letter.bytes;
    return i === 0 || bytes <= LIST_BYTES_MAX;
  });
}

async function deadTask(ctx: QueryCtx, id: string): Promise<Doc<"dead"> | null> {
  const [name = "", place = ""] = id.split(":");
  const chunk: Id<"chunks"> | null = ctx.db.normalizeId("chunks", name);
  if (chunk === null || place === "") return null;
  return ctx.db
    .query("dead")
    .withIndex("by_item", (q) => q.eq("chunk", chunk).eq("place", Number(place)))
    .unique();
}

function deadCallbacks(ctx: QueryCtx, most: number): Promise<Doc<"callbacks">[]> {
  return ctx.db
    .query("callbacks")
    .withIndex("by_due", (q) => q.eq("dueAt", undefined))
    .take(most);
}
