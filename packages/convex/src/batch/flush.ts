/** Sealing and settling batches. Every transaction of a runner comes through here. */
import { v } from "convex/values";
import { log } from "../base/log.js";
import type { Doc } from "./_generated/dataModel.js";
import { env, internalMutation, type MutationCtx } from "./_generated/server.js";
import { arm, disarm, firstFlush, inForce, itemsOf, look, runnerOf, seal } from "./groups.js";
import { record } from "./history.js";
import { HISTORY_MS, IDLE_GROUP_MS, REPORT_MS } from "./limits.js";
import { fail, failItems, finish } from "./outcome.js";
import { ensureSweep } from "./sweep.js";
import { counted, throttledUntil } from "./throttle.js";
import { vItemFailure, vStep, type Step } from "./validators.js";

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
    /** Items that failed while the others succeeded. */
    failed: v.optional(v.array(vItemFailure)),
    more: v.boolean(),
  },
  returns: vStep,
  handler: async (ctx, { error, failed = [], ...args }) => {
    const runner = await runnerOf(ctx, args.group);
    const group = await ctx.db.get("groups", args.group);
    const flush = await ctx.db.get("flushes", args.flush);
    if (runner?.token !== args.token || group === null || flush === null) return null;
    const [first] = failed;
    const some = first && `${failed.length} of ${flush.count} items failed: ${first.error}`;
    await record(ctx, { group, runner }, flush, error ?? some);
    if (error !== undefined) await fail(ctx, group, flush, error);
    else if (failed.length > 0) await failItems(ctx, group, flush, failed);
    else await finish(ctx, flush);
    const counts = { ...runner, entries: runner.entries + 1 };
    return next(ctx, { group, runner: report(group, counts) }, args.more);
  },
});

/** One line a minute about a group that is busy. */
function report({ batchId, groupKey }: Doc<"groups">, runner: Doc<"runners">): Doc<"runners"> {
  const now = Date.now();
  const { reported, entries } = runner;
  if (reported === undefined || reported.at === 0) {
    return { ...runner, reported: { at: now, entries } };
  }
  if (now - reported.at < REPORT_MS) return runner;
  const of = groupKey === undefined ? { batchId } : { batchId, groupKey };
  const flushes = entries - reported.entries;
  log(env.LOG_LEVEL, "REPORT", "batch.report", { ...of, flushes, spanMs: now - reported.at });
  return { ...runner, reported: { at: now, entries } };
}

/** The next batch that is due. When there is none, sets the timer for it, or goes to sleep. */
async function next(ctx: MutationCtx, at: At, more: boolean): Promise<Step> {
  const { group, runner } = at;
  const { entries, reported } = runner;
  const counts = { entries, ...(reported === undefined ? {} : { reported }) };
  // What is sealed stays sealed; `resume` starts the runner again.
  if (group.paused === true) {
    await unwatch(ctx, runner, { ...counts, state: "armed" });
    return null;
  }
  const now = Date.now();
  const { processBatch, throttle } = inForce(group);
  const throttled = throttledUntil(throttle, runner.deliveries, now);
  const mayFlush = more && throttled === null;
  const waiting = await firstFlush(ctx, group._id);
  let flush = waiting !== null && waiting.retryAt <= now && mayFlush ? waiting : null;
  let dueAt = waiting?.retryAt ?? Number.POSITIVE_INFINITY;
  if (waiting === null) {
    const found = await look(ctx, group, runner);
    if (found.isDue && mayFlush) flush = await seal(ctx, group, found.headers);
    dueAt = found.isDue ? now : found.dueAt;
    if (found.items === 0 && (await sleep(ctx, at, counts))) return null;
  }
  if (flush === null) {
    if (!Number.isFinite(dueAt)) await unwatch(ctx, runner, { ...counts, state: "armed" });
    else await arm(ctx, runner, Math.max(dueAt, throttled ?? 0), counts);
    return null;
  }
  await ctx.db.patch("flushes", flush._id, { startedAt: now });
  const deliveries = counted(throttle, runner.deliveries, now);
  await ctx.db.patch("runners", runner._id, {
    ...counts,
    state: "running",
    ...(deliveries === undefined ? {} : { deliveries }),
  });
  return { flush: flush._id, processBatch, items: await itemsOf(ctx, flush) };
}

/**
 * Goes to sleep unless something waits. The read is real: an add that commits meanwhile either is
 * seen here, or sees the sleeping group.
 */
async function sleep(
  ctx: MutationCtx,
  { group, runner }: At,
  counts: Partial<Doc<"runners">>,
): Promise<boolean> {
  const header = await ctx.db
    .query("headers")
    .withIndex("by_inbox", (q) => q.eq("group", group._id))
    .first();
  if (header !== null) return false;
  const { historyTtl = HISTORY_MS, deadLetterTtl, deduplicateFor = 0 } = group.config;
  // Keys that are still taken are those of this group.
  const idleMs = Math.max(IDLE_GROUP_MS, deduplicateFor);
  const keptMs = group.groupKey === undefined ? undefined : idleMs;
  const expiry = keptMs === undefined ? {} : { expiresAt: Date.now() + keptMs };
  await ctx.db.patch("groups", group._id, { state: "idle", ...expiry });
  // What it reports next begins with the next batch.
  const reported = { at: 0, entries: runner.entries };
  await unwatch(ctx, runner, { ...counts, reported, state: "asleep" });
  const keysMs = deduplicateFor > 0 ? deduplicateFor : undefined;
  await ensureSweep(ctx, [historyTtl, deadLetterTtl, keysMs, keptMs]);
  return true;
}

/** The runner is over. */
async function unwatch(
  ctx: MutationCtx,
  runner: Doc<"runners">,
  changes: Partial<Doc<"runners">>,
): Promise<void> {
  await disarm(ctx, runner);
  const over = { run: undefined, watch: undefined, token: runner.token + 1 };
  await ctx.db.patch("runners", runner._id, { ...changes, ...over });
}
