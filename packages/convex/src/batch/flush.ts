/** Sealing and settling batches. Every transaction of a runner comes through here. */
import { v } from "convex/values";
import { log } from "../base/log.js";
import { halves } from "../core/bisect.js";
import { retryDelayMs } from "../core/retry.js";
import type { Doc } from "./_generated/dataModel.js";
import { env, internalMutation, type MutationCtx } from "./_generated/server.js";
import { arm, disarm, firstFlush, itemsOf, look, runnerOf, seal } from "./groups.js";
import { BACKOFF, HISTORY_MAX } from "./limits.js";
import { vStep, type Step } from "./validators.js";

interface At {
  readonly group: Doc<"groups">;
  readonly runner: Doc<"runners">;
}

/** The first batch of a runner; `null` when there is none, or the runner was superseded. */
export const begin = internalMutation({
  args: { group: v.id("groups"), token: v.number() },
  returns: vStep,
  handler: async (ctx, args) => {
    const runner = await runnerOf(ctx, args.group);
    const group = await ctx.db.get("groups", args.group);
    if (runner === null || group === null || runner.token !== args.token) return null;
    return next(ctx, { group, runner }, true);
  },
});

/** How a batch ended. Returns the next one, unless the runner was superseded or is to end. */
export const settle = internalMutation({
  args: {
    group: v.id("groups"),
    token: v.number(),
    flush: v.id("flushes"),
    error: v.optional(v.string()),
    more: v.boolean(),
  },
  returns: vStep,
  handler: async (ctx, args) => {
    const runner = await runnerOf(ctx, args.group);
    const group = await ctx.db.get("groups", args.group);
    const flush = await ctx.db.get("flushes", args.flush);
    if (runner?.token !== args.token || group === null || flush === null) return null;
    const at = { group, runner };
    await record(ctx, at, flush, args.error);
    if (args.error === undefined) await finish(ctx, flush);
    else await fail(ctx, at, flush, args.error);
    return next(ctx, { group, runner: { ...runner, entries: runner.entries + 1 } }, args.more);
  },
});

/** The next batch that is due. When there is none, sets the timer for it, or goes to sleep. */
async function next(ctx: MutationCtx, at: At, more: boolean): Promise<Step> {
  const { group, runner } = at;
  const waiting = await firstFlush(ctx, group._id);
  let flush = waiting !== null && waiting.retryAt <= Date.now() ? waiting : null;
  let dueAt = waiting?.retryAt ?? Number.POSITIVE_INFINITY;
  if (waiting === null) {
    const found = await look(ctx, group, runner);
    if (found.isDue && more) flush = await seal(ctx, group, found.headers);
    dueAt = found.isDue ? Date.now() : found.dueAt;
    if (found.items === 0 && (await sleep(ctx, at))) return null;
  }
  const { entries } = runner;
  if (flush === null || !more) {
    if (Number.isFinite(dueAt)) await arm(ctx, runner, dueAt, { entries });
    else await unwatch(ctx, runner, { entries, state: "armed" });
    return null;
  }
  await ctx.db.patch("flushes", flush._id, { startedAt: Date.now() });
  await ctx.db.patch("runners", runner._id, { state: "running", entries });
  const { processBatch } = group.config;
  return { flush: flush._id, processBatch, items: await itemsOf(ctx, flush) };
}

/**
 * Goes to sleep unless something waits. The read is real: an add that commits meanwhile either is
 * seen here, or sees the sleeping group.
 */
async function sleep(ctx: MutationCtx, { group, runner }: At): Promise<boolean> {
  const header = await ctx.db
    .query("headers")
    .withIndex("by_inbox", (q) => q.eq("group", group._id))
    .first();
  if (header !== null) return false;
  await ctx.db.patch("groups", group._id, { state: "idle" });
  await unwatch(ctx, runner, { entries: runner.entries, state: "asleep" });
  return true;
}

async function unwatch(
  ctx: MutationCtx,
  runner: Doc<"runners">,
  changes: Partial<Doc<"runners">>,
): Promise<void> {
  await disarm(ctx, runner);
  const over = { run: undefined, watch: undefined, token: runner.token + 1 };
  await ctx.db.patch("runners", runner._id, { ...changes, ...over });
}

/**
 * Adds to the history, and forgets the oldest entry beyond those that are kept. The caller counts
 * the entry in the runner's row.
 */
export async function record(
  ctx: MutationCtx,
  { group, runner }: At,
  flush: Doc<"flushes">,
  error: string | undefined,
): Promise<void> {
  const { batchId } = group;
  const { entries } = runner;
  const now = Date.now();
  await ctx.db.insert("history", {
    batchId,
    itemCount: flush.count,
    flushedAt: now,
    durationMs: now - flush.startedAt,
    success: error === undefined,
    ...(error === undefined ? {} : { errorMessage: error }),
    entry: entries,
  });
  const old = await ctx.db
    .query("history")
    .withIndex("by_entry", (q) => q.eq("batchId", batchId).eq("entry", entries - HISTORY_MAX))
    .unique();
  if (old !== null) await ctx.db.delete("history", old._id);
}

/** The items are done. A chunk goes with its last one: batches of an id settle in their order. */
async function finish(ctx: MutationCtx, flush: Doc<"flushes">): Promise<void> {
  for (const { chunk, end } of flush.members) {
    const row = await ctx.db.get("chunks", chunk);
    if (row !== null && end === row.items.length) await ctx.db.delete("chunks", chunk);
  }
  await ctx.db.delete("flushes", flush._id);
}

/**
 * A batch that failed keeps its members and comes again, later each time. With `maxAttempts`, it is
 * halved when they are used up, until the items that fail stand alone; those are dead letters.
 */
export async function fail(
  ctx: MutationCtx,
  { group }: At,
  flush: Doc<"flushes">,
  error: string,
): Promise<void> {
  const attempts = flush.attempts + 1;
  const { batchId, config } = group;
  log(env.LOG_LEVEL, "WARN", "batch.failed", { batchId, attempts, items: flush.count, error });
  const isOut = config.maxAttempts !== undefined && attempts >= config.maxAttempts;
  if (!isOut && !flush.isPart) {
    const retryAt = Date.now() + retryDelayMs(BACKOFF, attempts, 0);
    await ctx.db.patch("flushes", flush._id, { attempts, retryAt });
    return;
  }
  if (flush.count > 1) {
    await halve(ctx, flush);
    return;
  }
  const [item] = await itemsOf(ctx, flush);
  if (item !== undefined) {
    await ctx.db.insert("dead", { group: group._id, batchId, item, error, at: Date.now() });
  }
  log(env.LOG_LEVEL, "ERROR", "batch.dead_letter", { batchId, error });
  await finish(ctx, flush);
}

async function halve(ctx: MutationCtx, flush: Doc<"flushes">): Promise<void> {
  await ctx.db.delete("flushes", flush._id);
  let offset = 0;
  for (const half of halves(flush.count)) {
    const members = membersOf(flush, offset, offset + half.length);
    const { group, attempts, createdAt, startedAt } = flush;
    await ctx.db.insert("flushes", {
      group,
      position: flush.position + offset,
      members,
      count: half.length,
      attempts,
      isPart: true,
      createdAt,
      startedAt,
      retryAt: 0,
    });
    offset += half.length;
  }
}

/** The members of the items from one place in the flush to another. */
function membersOf(flush: Doc<"flushes">, first: number, last: number): Doc<"flushes">["members"] {
  const members: Doc<"flushes">["members"] = [];
  let place = 0;
  for (const { chunk, from, end } of flush.members) {
    const start = Math.max(from, from + first - place);
    const stop = Math.min(end, from + last - place);
    if (start < stop) members.push({ chunk, from: start, end: stop });
    place += end - from;
  }
  return members;
}
