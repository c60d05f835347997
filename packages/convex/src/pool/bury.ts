/** Dead letters of work: how they are made, and what is left when they go. */
import type { Doc, Id } from "./_generated/dataModel.js";
import type { MutationCtx } from "./_generated/server.js";
import { DEAD_MS, expiryOf } from "./limits.js";
import type { Outcome } from "./validators.js";

/** Keeps an item that failed for good, with its payload. False when it did not, or is not kept. */
export async function bury(
  ctx: MutationCtx,
  row: Doc<"work">,
  { place, result, deadMs = DEAD_MS }: Outcome,
): Promise<boolean> {
  if (result.kind !== "failed" || deadMs === 0) return false;
  const { chunk, pool, priority, again, bytes, attempts, key } = row;
  await ctx.db.insert("dead", {
    chunk,
    place,
    pool,
    priority,
    again,
    bytes,
    ...(key === undefined ? {} : { key }),
    attempts: attempts + 1,
    error: result.error,
    expiresAt: expiryOf(deadMs),
  });
  return true;
}

/** Deletes a dead letter, and its payload unless that is needed elsewhere. */
export async function forget(ctx: MutationCtx, letter: Doc<"dead">): Promise<void> {
  await ctx.db.delete("dead", letter._id);
  await dropUnused(ctx, letter.chunk);
}

/** Deletes a payload that no row and no dead letter needs any more. */
export async function dropUnused(ctx: MutationCtx, chunk: Id<"chunks">): Promise<void> {
  const row = await ctx.db
    .query("work")
    .withIndex("by_chunk", (q) => q.eq("chunk", chunk))
    .first();
  if (row !== null) return;
  const letter = await ctx.db
    .query("dead")
    .withIndex("by_item", (q) => q.eq("chunk", chunk))
    .first();
  if (letter === null) await ctx.db.delete("chunks", chunk);
}
