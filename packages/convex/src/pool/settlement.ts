/** Records how attempts ended. Every outcome of every item comes through here. */
import type { FunctionHandle } from "convex/server";
import { SETTLE_BYTES_MAX, errorText } from "../base/sizes.js";
import type { Doc, Id } from "./_generated/dataModel.js";
import type { MutationCtx } from "./_generated/server.js";
import { readGate, wake } from "./gate.js";
import {
  CALLBACK_BACKOFF_MS,
  EXPIRY_STEP_MS,
  GROUP_BUDGET_SHARE,
  GROUP_MAX,
  SETTLE_BUDGET_SHARE,
  SETTLE_COUNT_MAX,
} from "./limits.js";
import type { Outcome } from "./validators.js";

/** What changed for one work row. */
interface Row {
  readonly row: Doc<"work">;
  readonly done: number[];
  spawned: boolean;
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
    if (!(await settleOne(ctx, own, outcome))) delayed = true;
  }
  for (const own of rows.values()) if (own !== null) await close(ctx, own);
  if (delayed) await wakeForDelayed(ctx);
  return dealt;
}

/** Whether its end calls back. */
function isCalling({ callback, retryAt }: Outcome): boolean {
  return callback !== undefined && retryAt === undefined;
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
async function settleOne(ctx: MutationCtx, own: Row, outcome: Outcome): Promise<boolean> {
  const canceled = own.row.canceled?.includes(outcome.place) ?? false;
  if (outcome.retryAt !== undefined && !canceled) {
    await retryLater(ctx, own, outcome, outcome.retryAt);
    return false;
  }
  await keep(ctx, own.row.chunk, outcome);
  return outcome.callback === undefined || callBack(ctx, own.row.chunk, outcome);
}

/** The row, when it is (still) the executor's. */
async function ownRow(
  ctx: MutationCtx,
  id: Id<"work">,
  executor: Id<"executors"> | null,
): Promise<Row | null> {
  const row = await ctx.db.get("work", id);
  if (row === null || (row.executor ?? null) !== executor) return null;
  return { row, done: [...(row.done ?? [])], spawned: row.spawned ?? false };
}

async function retryLater(
  ctx: MutationCtx,
  own: Row,
  outcome: Outcome,
  retryAt: number,
): Promise<void> {
  const { chunk, type, pool, priority, again, bytes, attempts } = own.row;
  own.spawned = true;
  await ctx.db.insert("work", {
    chunk,
    type,
    pool,
    priority,
    again,
    places: [outcome.place],
    count: 1,
    bytes,
    attempts: attempts + 1,
    dueAt: retryAt,
  });
}

/**
 * Calls back in a sub-transaction: what it writes commits with the settlement, and a throw undoes
 * its writes alone. False when it threw; it is tried again on its own then.
 */
async function callBack(
  ctx: MutationCtx,
  chunk: Id<"chunks">,
  { place, result, callback }: Outcome,
): Promise<boolean> {
  const { handle, context } = callback as NonNullable<typeof callback>;
  const workId = `${chunk}:${place}`;
  try {
    const args = { workId, context, result };
    const transactionLimits = await limitsOf(ctx, 1 - SETTLE_BUDGET_SHARE);
    await ctx.runMutation(handle as FunctionHandle<"mutation">, args, { transactionLimits });
    return true;
  } catch (thrown) {
    const dueAt = Date.now() + CALLBACK_BACKOFF_MS;
    const failed = { attempts: 1, error: errorText(thrown), dueAt };
    const kept = context === undefined ? {} : { context };
    await ctx.db.insert("callbacks", { handle, workId, ...kept, result, ...failed });
    return false;
  }
}

async function keep(ctx: MutationCtx, chunk: Id<"chunks">, outcome: Outcome): Promise<void> {
  const { place, result, keepMs } = outcome;
  if (keepMs === undefined) return;
  // Rounded up, so that a sleeping loop is not woken for every single one.
  const expiresAt = Math.ceil((Date.now() + keepMs) / EXPIRY_STEP_MS) * EXPIRY_STEP_MS;
  await ctx.db.insert("results", { chunk, place, result, expiresAt });
}

/** Writes what is left of a row; deletes the chunk with its last row. */
async function close(ctx: MutationCtx, { row, done, spawned }: Row): Promise<void> {
  if (done.length === (row.done?.length ?? 0)) return;
  if (done.length < row.count) {
    await ctx.db.patch("work", row._id, { done, ...(spawned ? { spawned } : {}) });
    return;
  }
  await ctx.db.delete("work", row._id);
  await dropChunk(ctx, row, spawned);
}

/** Deletes the payload unless other rows of the chunk are left. */
async function dropChunk(ctx: MutationCtx, row: Doc<"work">, spawned: boolean): Promise<void> {
  if (spawned) return;
  // A row that holds all places and spawned none has no siblings, and needs no look.
  const sibling =
    row.places === undefined
      ? null
      : await ctx.db
          .query("work")
          .withIndex("by_chunk", (q) => q.eq("chunk", row.chunk))
          .first();
  if (sibling === null) await ctx.db.delete("chunks", row.chunk);
}

/** Delayed rows need the loop only if it sleeps: awake, it looks for them before it does. */
async function wakeForDelayed(ctx: MutationCtx): Promise<void> {
  const gate = await readGate(ctx);
  if (gate?.state === "idle") await wake(ctx, gate);
}

/** Whether a group of user functions has used its share of the transaction. */
export async function isBudgetUsed(ctx: MutationCtx): Promise<boolean> {
  const metrics = await ctx.meta.getTransactionMetrics();
  return Object.values(metrics).some(
    ({ used, remaining }) => used > (used + remaining) * GROUP_BUDGET_SHARE,
  );
}

/** What a user's function may use, so that the transaction stays below a share of each budget. */
export async function limitsOf(ctx: MutationCtx, share: number): Promise<Record<string, number>> {
  const metrics = await ctx.meta.getTransactionMetrics();
  return Object.fromEntries(
    Object.entries(metrics).map(([name, { used, remaining }]) => [
      name,
      Math.max(1, Math.floor((used + remaining) * share) - used),
    ]),
  );
}
