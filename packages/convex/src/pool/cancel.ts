/** Cancelling: what waits ends as canceled, what runs is not tried again. */
import { SETTLE_BYTES_MAX } from "../base/sizes.js";
import { internal } from "./_generated/api.js";
import type { Doc } from "./_generated/dataModel.js";
import type { MutationCtx } from "./_generated/server.js";
import { readGate, wake } from "./gate.js";
import { outcomeOf } from "./outcome.js";
import { placesOf } from "./places.js";
import { takenOf } from "./runs.js";
import { settleOutcomes } from "./settlement.js";

/**
 * Cancels places of a row, in the transaction of the caller: reading the row makes this and its
 * assignment, or its settlement, exclude each other. Callbacks are called on their own later, so
 * that what they throw or read is not the caller's.
 */
export async function cancelPlaces(
  ctx: MutationCtx,
  row: Doc<"work">,
  places: readonly number[],
): Promise<void> {
  const canceled = [...(row.canceled ?? []), ...places.filter((p) => !row.canceled?.includes(p))];
  if (row.executor !== undefined) {
    await ctx.db.patch("work", row._id, { canceled });
    return;
  }
  const chunk = await ctx.db.get("chunks", row.chunk);
  if (chunk === null) return;
  const taken = takenOf(row, chunk);
  const outcomes = taken.items
    .filter(({ place }) => places.includes(place))
    .map((item) => outcomeOf(taken, item, { kind: "canceled" }));
  let isCalling = false;
  for (const { place, result, callback } of outcomes) {
    if (callback === undefined) continue;
    isCalling = true;
    const workId = `${row.chunk}:${place}`;
    const now = { attempts: 0, error: "", dueAt: Date.now() };
    const { handle, context, array } = callback;
    const kept = {
      handle,
      ...(context === undefined ? {} : { context }),
      ...(array === undefined ? {} : { array }),
    };
    await ctx.db.insert("callbacks", { ...kept, workId, result, ...now });
  }
  const silent = outcomes.map(({ callback: _, ...outcome }) => outcome);
  for (let dealt = 0; dealt < silent.length;) {
    dealt += await settleOutcomes(ctx, null, silent.slice(dealt));
  }
  if (!isCalling) return;
  const gate = await readGate(ctx);
  if (gate?.state === "idle") await wake(ctx, gate);
}

/** Cancels the next rows inserted before `before`; goes on by itself until none is left. */
export async function cancelRows(
  ctx: MutationCtx,
  { after, before, limit }: { after: number; before: number; limit: number },
): Promise<void> {
  const rows = await ctx.db
    .query("work")
    .withIndex("by_creation_time", (q) => q.gt("_creationTime", after).lt("_creationTime", before))
    .take(limit);
  let [bytes, last] = [0, after];
  for (const row of rows) {
    // Its payload is read twice: for its end, and when it is deleted.
    bytes += row.bytes;
    if (bytes > SETTLE_BYTES_MAX && last > after) break;
    await cancelPlaces(ctx, row, placesOf(row));
    last = row._creationTime;
  }
  if (rows.length < limit && last === rows.at(-1)?._creationTime) return;
  if (rows.length === 0) return;
  await ctx.scheduler.runAfter(0, internal.sweep.cancel, { after: last, before, limit });
}
