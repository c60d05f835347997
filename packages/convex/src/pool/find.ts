/** Finding an item by its id: the id of its payload row, and its place in there. */
import { ConvexError } from "convex/values";
import type { Doc, Id } from "./_generated/dataModel.js";
import type { QueryCtx } from "./_generated/server.js";

export interface Found {
  readonly chunk: Id<"chunks">;
  readonly place: number;
  readonly row: Doc<"work"> | null;
}

/** Where an item is; throws when the id was not made here. */
export async function find(ctx: QueryCtx, id: string): Promise<Found> {
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
