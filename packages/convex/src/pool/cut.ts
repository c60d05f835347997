/** Making two rows of one, where only some of its items are to go on together. */
import { present } from "../base/fields.js";
import type { Doc } from "./_generated/dataModel.js";
import type { MutationCtx } from "./_generated/server.js";
import { placeOf } from "./keys.js";
import { placesOf } from "./places.js";

/**
 * Leaves a row its first items. The rest is a row of its own, which waits as `waits` says; of a
 * serial key, for the first one.
 */
export async function cut(
  ctx: MutationCtx,
  row: Doc<"work">,
  most: number,
  waits: Partial<Pick<Doc<"work">, "inbox" | "dueAt">>,
): Promise<Doc<"work">> {
  const open = placesOf(row);
  const rest = open.slice(most);
  const [first] = rest;
  if (first === undefined) return row;
  const { chunk, type, pool, priority, again, bytes, attempts } = row;
  const { order, crashes, error, canceled } = row;
  const same = { chunk, type, pool, priority, again, bytes, attempts };
  await ctx.db.insert("work", {
    ...same,
    places: rest,
    count: rest.length,
    ...placeOf(row, first),
    ...present({ crashes, error, canceled }),
    ...(order === undefined ? waits : { held: order }),
  });
  const places = open.slice(0, most);
  const kept = { ...row, ...placeOf(row, places[0] as number) };
  delete kept.done;
  const after = { ...kept, places, count: places.length, spawned: true };
  await ctx.db.replace("work", row._id, after);
  return after;
}
