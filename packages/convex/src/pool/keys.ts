/** Rows of a serial key: one at a time, in the order in which they got into the inbox. */
import type { Doc } from "./_generated/dataModel.js";
import type { MutationCtx } from "./_generated/server.js";
import { readGate, wake } from "./gate.js";

/** Where a row stands among those of its key; nothing for a row without one. */
export function placeOf(row: Doc<"work">, first: number): Partial<Doc<"work">> {
  const { key, order, seq } = row;
  if (key === undefined) return {};
  const base = (seq ?? 0) - (row.places?.[0] ?? 0);
  return { key, seq: base + first, ...(order === undefined ? {} : { order }) };
}

/** Takes a row out of the inbox, until the one before it is over. */
export async function hold(ctx: MutationCtx, row: Doc<"work">): Promise<void> {
  await ctx.db.patch("work", row._id, { inbox: undefined, dueAt: undefined, held: row.order });
}

/** Puts a row that waited for others into the inbox, behind what came there meanwhile. */
export async function unhold(ctx: MutationCtx, row: Doc<"work">): Promise<void> {
  await ctx.db.patch("work", row._id, { held: undefined, inbox: ctx.db.vars.commitTs });
}

/**
 * Lets the next row of the key go, once the one before it is gone. It does not look at rows that
 * callers insert, so that they do not disturb it; whether the row is first, the loop finds out.
 */
export async function release(ctx: MutationCtx, gone: Doc<"work">): Promise<void> {
  const { pool, key, held } = gone;
  if (key === undefined || held !== undefined) return;
  const next = await ctx.db
    .query("work")
    .withIndex("by_held", (q) => q.eq("pool", pool).eq("key", key).gte("held", 0n))
    .first();
  if (next === null) return;
  await unhold(ctx, next);
  const gate = await readGate(ctx);
  if (gate?.state === "idle") await wake(ctx, gate);
}
