/** Records how attempts ended. Every outcome of every item comes through here. */
import { ITEM_BYTES_MAX, SETTLE_BYTES_MAX, bytesOf } from "../base/sizes.js";
import type { Doc, Id } from "./_generated/dataModel.js";
import type { MutationCtx } from "./_generated/server.js";
import { isBudgetUsed } from "./budget.js";
import { bury, dropUnused } from "./bury.js";
import { callArrays, callBack, type Ended } from "./notify.js";
import { readGate, wake } from "./gate.js";
import { placeOf, release } from "./keys.js";
import { expiryOf, GROUP_MAX, SETTLE_COUNT_MAX } from "./limits.js";
import { placesOf } from "./places.js";
import type { Outcome } from "./validators.js";

/** What changed for one work row. */
interface Row {
  readonly row: Doc<"work">;
  readonly done: number[];
  /** Another row, or a dead letter, keeps the chunk; as of now. */
  spawned: boolean;
  /** Rows of its key wait for what was made of it. */
  succeeded: boolean;
}

/**
 * Settles outcomes in order, as many as one transaction should: the rest is the caller's to bring
 * again. Outcomes whose place is settled already, or whose row is another's now, change nothing.
 * Returns how many were dealt with, at least one.
 */
export async function settleOutcomes(
  ctx: MutationCtx,
  executor: Id<"executors"> | null,
  outcomes: readonly Outcome[],
): Promise<number> {
  const rows = new Map<Id<"work">, Row | null>();
  const used = { bytes: 0, callbacks: 0, isIsolated: false };
  const arrays: Ended[] = [];
  let delayed = false;
  let dealt = 0;
  for (const outcome of outcomes) {
    if (dealt > 0 && (isApart(outcome, used) || (await isFull(ctx, dealt, used)))) break;
    dealt++;
    if (!rows.has(outcome.work)) {
      const found = await ownRow(ctx, outcome.work, executor);
      rows.set(outcome.work, found);
      // Its payload is read again when it is deleted.
      used.bytes += found?.row.bytes ?? 0;
    }
    const own = rows.get(outcome.work) ?? null;
    if (own === null || own.done.includes(outcome.place)) continue;
    own.done.push(outcome.place);
    if (isCalling(outcome)) {
      used.callbacks++;
      used.isIsolated ||= outcome.callback?.isolate === true;
    }
    if (!(await settleOne(ctx, own, outcome, arrays))) delayed = true;
  }
  if (!(await callArrays(ctx, arrays))) delayed = true;
  for (const own of rows.values()) if (own !== null) await close(ctx, own);
  if (delayed) await wakeForDelayed(ctx);
  return dealt;
}

/** Whether its end calls back, on its own. */
function isCalling({ callback, retryAt }: Outcome): boolean {
  return callback !== undefined && callback.array !== true && retryAt === undefined;
}

/** Whether the callback is not to share the transaction with those that were called in it. */
function isApart(
  outcome: Outcome,
  used: { readonly callbacks: number; readonly isIsolated: boolean },
): boolean {
  if (used.callbacks === 0 || !isCalling(outcome)) return false;
  return used.isIsolated || outcome.callback?.isolate === true;
}

/** Whether one more outcome is too much for one transaction. */
async function isFull(
  ctx: MutationCtx,
  dealt: number,
  used: { readonly bytes: number; readonly callbacks: number },
): Promise<boolean> {
  if (dealt >= SETTLE_COUNT_MAX || used.bytes > SETTLE_BYTES_MAX) return true;
  return used.callbacks >= GROUP_MAX || (used.callbacks > 0 && (await isBudgetUsed(ctx)));
}

/** False when something of it was put off: a retry, or a callback that threw. */
async function settleOne(
  ctx: MutationCtx,
  own: Row,
  outcome: Outcome,
  arrays: Ended[],
): Promise<boolean> {
  const canceled = own.row.canceled?.includes(outcome.place) ?? false;
  if (outcome.retryAt !== undefined && !canceled) {
    await retryLater(ctx, own, outcome, outcome.retryAt);
    return false;
  }
  const { chunk } = own.row;
  await keep(ctx, chunk, outcome);
  if (await bury(ctx, own.row, outcome)) own.spawned = true;
  const { callback } = outcome;
  if (callback === undefined) return true;
  const ended = { chunk, outcome, callback };
  if (callback.array !== true) return callBack(ctx, ended);
  arrays.push(ended);
  return true;
}

/** The row, when it is (still) the executor's. */
async function ownRow(
  ctx: MutationCtx,
  id: Id<"work">,
  executor: Id<"executors"> | null,
): Promise<Row | null> {
  const row = await ctx.db.get("work", id);
  if (row === null || (row.executor ?? null) !== executor) return null;
  return { row, done: [...(row.done ?? [])], spawned: false, succeeded: false };
}

async function retryLater(
  ctx: MutationCtx,
  own: Row,
  outcome: Outcome,
  retryAt: number,
): Promise<void> {
  const { row } = own;
  const { chunk, type, pool, priority, again, bytes, attempts } = row;
  const fixed = { chunk, type, pool, priority, again, bytes };
  const { place, result } = outcome;
  own.spawned = true;
  own.succeeded = true;
  await ctx.db.insert("work", {
    ...fixed,
    places: [place],
    count: 1,
    attempts: attempts + 1,
    dueAt: retryAt,
    ...(result.kind === "failed" ? { error: result.error } : {}),
    ...placeOf(row, place),
  });
  if (row.key === undefined || row.order === undefined) return;
  // What follows it in the row has not begun, and waits for it.
  const rest = placesOf(row).filter((one) => !own.done.includes(one));
  const [first] = rest;
  if (first === undefined) return;
  own.done.push(...rest);
  const { canceled } = row;
  await ctx.db.insert("work", {
    ...fixed,
    places: rest,
    count: rest.length,
    attempts,
    held: row.order,
    ...placeOf(row, first),
    ...(canceled === undefined ? {} : { canceled }),
  });
}

async function keep(ctx: MutationCtx, chunk: Id<"chunks">, outcome: Outcome): Promise<void> {
  const { place, result, keepMs } = outcome;
  if (keepMs === undefined) return;
  const bytes = bytesOf(result);
  const error = `It succeeded, and its return value is too large to keep: ${bytes} bytes.`;
  const kept = bytes > ITEM_BYTES_MAX ? ({ kind: "failed", error } as const) : result;
  await ctx.db.insert("results", { chunk, place, result: kept, expiresAt: expiryOf(keepMs) });
}

/** Writes what is left of a row; deletes the chunk with its last row. */
async function close(ctx: MutationCtx, own: Row): Promise<void> {
  const { row, done, spawned, succeeded } = own;
  if (done.length === (row.done?.length ?? 0)) return;
  if (done.length < row.count) {
    await ctx.db.patch("work", row._id, { done, ...(spawned ? { spawned } : {}) });
    return;
  }
  await ctx.db.delete("work", row._id);
  if (!succeeded) await release(ctx, row);
  if (spawned) return;
  // A row that holds all places and made nothing else of any has no siblings, and needs no look.
  if (row.places === undefined && row.spawned !== true) await ctx.db.delete("chunks", row.chunk);
  else await dropUnused(ctx, row.chunk);
}

/** Delayed rows need the loop only if it sleeps: awake, it looks for them before it does. */
async function wakeForDelayed(ctx: MutationCtx): Promise<void> {
  const gate = await readGate(ctx);
  if (gate?.state === "idle") await wake(ctx, gate);
}
