/** Keys of items: while one is taken, another item with it is left out. */
import type { Id } from "./_generated/dataModel.js";
import type { MutationCtx } from "./_generated/server.js";

/** Items of one group, and their keys by place. */
interface Keyed<Item> {
  readonly items: readonly Item[];
  readonly keys: readonly (string | null)[];
}

/**
 * Takes the keys of the items, and leaves out those whose key is taken. Each key is a range of its
 * own, so only adds of the same key can meet.
 */
export async function takeKeys<Item>(
  ctx: MutationCtx,
  group: Id<"groups">,
  { items, keys }: Keyed<Item>,
  keepMs: number,
): Promise<Keyed<Item>> {
  const now = Date.now();
  const left: Item[] = [];
  const taken: (string | null)[] = [];
  for (const [place, item] of items.entries()) {
    const key = keys[place] ?? null;
    if (key !== null) {
      const row = await ctx.db
        .query("keys")
        .withIndex("by_key", (q) => q.eq("group", group).eq("key", key))
        .first();
      if (row !== null && (row.expiresAt === undefined || row.expiresAt > now)) continue;
      if (row !== null) await ctx.db.delete("keys", row._id);
      const expiry = keepMs > 0 ? { expiresAt: now + keepMs } : {};
      await ctx.db.insert("keys", { group, key, ...expiry });
    }
    left.push(item);
    taken.push(key);
  }
  return { items: left, keys: taken };
}

/** Gives back the keys of items that are sealed; those that are kept for longer stay taken. */
export async function freeKeys(
  ctx: MutationCtx,
  group: Id<"groups">,
  { chunk, from, end }: { chunk: Id<"chunks">; from: number; end: number },
): Promise<void> {
  const row = await ctx.db.get("chunks", chunk);
  for (const key of row?.keys?.slice(from, end) ?? []) {
    if (key === null) continue;
    const found = await ctx.db
      .query("keys")
      .withIndex("by_key", (q) => q.eq("group", group).eq("key", key))
      .first();
    if (found !== null && found.expiresAt === undefined) await ctx.db.delete("keys", found._id);
  }
}
