/** What callers reach: dead letters of the accumulator. */
import { ConvexError, v } from "convex/values";
import { bytesOf } from "../base/sizes.js";
import { vValue } from "../base/values.js";
import { internal } from "./_generated/api.js";
import type { Doc } from "./_generated/dataModel.js";
import { mutation, query, type MutationCtx, type QueryCtx } from "./_generated/server.js";
import { create, store, unknown, wake } from "./add.js";
import { groupOf, inForce } from "./groups.js";
import { DEAD_BYTES_MAX, LIST_MAX } from "./limits.js";

/** Which of them: those of some ids, or the oldest; at most `limit`, 100 by default. */
const vWhich = {
  batchId: v.string(),
  ids: v.optional(v.array(v.string())),
  limit: v.optional(v.number()),
};

type Which = Readonly<{ batchId: string; ids?: readonly string[]; limit?: number }>;

/** Fewer than asked for when they are large: a transaction may read so much only. */
async function find(ctx: QueryCtx, { batchId, ids, limit = 100 }: Which): Promise<Doc<"dead">[]> {
  const most = Math.min(Math.max(Math.trunc(limit), 0), LIST_MAX);
  const found: Doc<"dead">[] = [];
  let bytes = 0;
  const isLast = (row: Doc<"dead">): boolean => {
    found.push(row);
    bytes += bytesOf(row.item);
    return found.length >= most || bytes >= DEAD_BYTES_MAX;
  };
  if (most === 0) return found;
  if (ids !== undefined) {
    for (const text of ids) {
      const id = ctx.db.normalizeId("dead", text);
      const row = id === null ? null : await ctx.db.get("dead", id);
      if (row !== null && row.batchId === batchId && isLast(row)) break;
    }
    return found;
  }
  const rows = ctx.db.query("dead").withIndex("by_batch_id", (q) => q.eq("batchId", batchId));
  for await (const row of rows) if (isLast(row)) break;
  return found;
}

/** Items that were out of attempts, oldest first; at most `limit`, 100 by default. */
export const list = query({
  args: vWhich,
  returns: v.array(
    v.object({
      id: v.string(),
      item: vValue,
      error: v.string(),
      at: v.number(),
      groupKey: v.optional(v.string()),
    }),
  ),
  handler: async (ctx, which) => {
    const rows = await find(ctx, which);
    return rows.map(({ _id, item, error, at, groupKey }) => ({
      id: _id,
      item,
      error,
      at,
      ...(groupKey === undefined ? {} : { groupKey }),
    }));
  },
});

/** Adds dead letters again, to their groups, to be flushed at once. Returns how many. */
export const redrive = mutation({
  args: vWhich,
  returns: v.number(),
  handler: async (ctx, which) => {
    const rows = await find(ctx, which);
    for (const [groupKey, letters] of Map.groupBy(rows, (row) => row.groupKey)) {
      await revive(ctx, { batchId: which.batchId, groupKey }, letters);
    }
    return rows.length;
  },
});

async function revive(
  ctx: MutationCtx,
  id: { batchId: string; groupKey: string | undefined },
  letters: readonly Doc<"dead">[],
): Promise<void> {
  const config = letters.at(-1)?.config;
  const known = await groupOf(ctx, id.batchId, id.groupKey);
  const group = known ?? (config === undefined ? null : await create(ctx, id, config));
  if (group === null) throw new ConvexError(unknown(id.batchId));
  const items = letters.map(({ item }) => item);
  for (const { _id } of letters) await ctx.db.delete("dead", _id);
  await store(ctx, group, { items, keys: undefined, config: inForce(group), isFull: true });
  if (group.state === "idle") await wake(ctx, group, Date.now());
  else await ctx.scheduler.runAfter(0, internal.watch.hurry, { group: group._id });
}

/** Deletes dead letters. Returns how many. */
export const discard = mutation({
  args: vWhich,
  returns: v.number(),
  handler: async (ctx, which) => {
    const rows = await find(ctx, which);
    for (const { _id } of rows) await ctx.db.delete("dead", _id);
    return rows.length;
  },
});
