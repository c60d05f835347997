/** Batches that were given up: how they get there, and what callers reach. */
import type { FunctionHandle } from "convex/server";
import { v } from "convex/values";
import { bytesOf, errorText } from "../base/sizes.js";
import { vValue } from "../base/values.js";
import { internal } from "./_generated/api.js";
import type { Doc } from "./_generated/dataModel.js";
import { internalMutation, mutation, query, type MutationCtx } from "./_generated/server.js";
import { DEAD_BYTES_MAX, DEAD_CALL_MAX, DEAD_MS, LIST_MAX } from "./limits.js";

export interface Buried {
  readonly batch: Record<string, unknown>;
  readonly error: string;
  readonly attempts: number;
}

/**
 * Gives a batch up: `onDead` takes it out of the queue, in a sub-transaction, and it is kept as a
 * dead letter. Returns what went wrong, and then nothing was written; or `null`.
 */
export async function bury(
  ctx: MutationCtx,
  { name, onDead, workerMutation }: Doc<"workers">,
  buried: Buried,
): Promise<string | null> {
  if (onDead !== undefined) {
    try {
      await ctx.runMutation(onDead as FunctionHandle<"mutation">, { name, ...buried });
    } catch (thrown) {
      return `onDead failed: ${errorText(thrown)}`;
    }
  }
  const { batch, error, attempts } = buried;
  const expiresAt = Date.now() + DEAD_MS;
  const kept = bytesOf(batch) > DEAD_BYTES_MAX ? {} : { batch: batch as typeof vValue.type };
  await ctx.db.insert("dead", { name, workerMutation, error, attempts, expiresAt, ...kept });
  await ctx.scheduler.runAt(expiresAt, internal.dead.expire, {});
  return null;
}

/** Deletes what has been kept for long enough. */
export const expire = internalMutation({
  args: {},
  returns: v.null(),
  handler: async (ctx) => {
    const rows = await ctx.db
      .query("dead")
      .withIndex("by_expiry", (q) => q.lte("expiresAt", Date.now()))
      .take(DEAD_CALL_MAX);
    for (const { _id } of rows) await ctx.db.delete("dead", _id);
    if (rows.length === DEAD_CALL_MAX) await ctx.scheduler.runAfter(0, internal.dead.expire, {});
    return null;
  },
});

const vLetter = v.object({
  id: v.string(),
  /** Absent when it was too large to keep. */
  batch: v.optional(vValue),
  error: v.string(),
  attempts: v.number(),
  at: v.number(),
});

/** Batches of a worker that were given up, oldest first; at most `limit`, 10 by default. */
export const list = query({
  args: { name: v.string(), limit: v.optional(v.number()) },
  returns: v.array(vLetter),
  handler: async (ctx, { name, limit = 10 }) => {
    const rows = await ctx.db
      .query("dead")
      .withIndex("by_name", (q) => q.eq("name", name))
      // Each may have a megabyte.
      .take(Math.min(Math.max(Math.trunc(limit), 0), LIST_MAX, DEAD_CALL_MAX));
    return rows.map(({ _id: id, batch, error, attempts, _creationTime: at }) => {
      const letter = { id, error, attempts, at };
      return batch === undefined ? letter : { ...letter, batch };
    });
  },
});

const vIds = { ids: v.array(v.string()) };

/**
 * Runs batches again, each in a sub-transaction of this call: one that throws again stays, with its
 * new error. At most 16 to a call. Returns how many succeeded.
 */
export const redrive = mutation({
  args: vIds,
  returns: v.number(),
  handler: async (ctx, { ids }) => {
    let done = 0;
    for (const letter of await chosen(ctx, ids)) {
      if (letter.batch === undefined) continue;
      const handle = letter.workerMutation as FunctionHandle<"mutation">;
      try {
        await ctx.runMutation(handle, letter.batch as Record<string, unknown>);
        await ctx.db.delete("dead", letter._id);
        done++;
      } catch (thrown) {
        const attempts = letter.attempts + 1;
        await ctx.db.patch("dead", letter._id, { error: errorText(thrown), attempts });
      }
    }
    return done;
  },
});

/** Deletes batches that were given up, at most 16 to a call. Returns how many. */
export const discard = mutation({
  args: vIds,
  returns: v.number(),
  handler: async (ctx, { ids }) => {
    const letters = await chosen(ctx, ids);
    for (const { _id } of letters) await ctx.db.delete("dead", _id);
    return letters.length;
  },
});

async function chosen(ctx: MutationCtx, ids: readonly string[]): Promise<Doc<"dead">[]> {
  const letters: Doc<"dead">[] = [];
  for (const id of ids.slice(0, DEAD_CALL_MAX)) {
    const known = ctx.db.normalizeId("dead", id);
    const letter = known === null ? null : await ctx.db.get("dead", known);
    if (letter !== null) letters.push(letter);
  }
  return letters;
}
