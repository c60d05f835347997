/** Cancelling: what waits ends as canceled, what runs is not tried again. */
import { internal } from "./_generated/api.js";
import type { Doc } from "./_generated/dataModel.js";
import type { MutationCtx } from "./_generated/server.js";
import { readGate, wake } from "./gate.js";
import { outcomeOf } from "./outcome.js";
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
    const { handle, context } = callback;
    const kept = { handle, ...(context === undefined ? {} : { context }) };
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

/** All places of a row that are not settled yet. */
export function placesOf(row: Doc<"work">): number[] {
  const places = row.places ?? Array.from({ length: row.count }, (_, place) => place);
  return places.filter((place) => row.done?.includes(place) !== true);
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
  for (const row of rows) await cancelPlaces(ctx, row, placesOf(row));
  const last = rows.at(-1);
  if (last === undefined || rows.length < limit) return;
  const next = { after: last._creationTime, before, limit };
  await ctx.scheduler.runAfter(0, internal.sweep.cancel, next);
}
