/** The loop: the sole assigner of work. One mutation per turn, one turn at a time. */
import { v } from "convex/values";
import { log } from "../base/log.js";
import { fateOf } from "../base/watch.js";
import { assign } from "./assign.js";
import { internal } from "./_generated/api.js";
import type { Doc, Id } from "./_generated/dataModel.js";
import { internalMutation, type MutationCtx } from "./_generated/server.js";
import { forget } from "./bury.js";
import { configOf, readGate, unpark } from "./gate.js";
import { hold, unhold } from "./keys.js";
import { HEADS_MAX, MONITOR_MS } from "./limits.js";
import { advance, permitsFor, queuesOf, throttlesOf, type Queues } from "./queues.js";
import { decide, leaveParking, proceed, sleepIfIdle, stayAwake } from "./rest.js";
import { withStarts } from "./throttle.js";
import type { View } from "./view.js";

/** How long a turn waits for a snapshot that shows the one before it, ms. */
const STALE_MS = 20;

/** One turn. A number that is not the next one belongs to a turn that was superseded. */
export const turn = internalMutation({
  args: { turn: v.number() },
  returns: v.null(),
  handler: async (ctx, args) => {
    const loop = await ctx.db.query("loop").first();
    const gate = await readGate(ctx);
    if (loop === null || gate === null || loop.turn !== args.turn) return null;
    await leaveParking(ctx, loop);
    const queues = queuesOf(gate, loop);
    if (loop.quiet && (await sleepIfIdle(ctx, loop, gate, queues))) return null;
    await stayAwake(ctx, gate);
    const stale = { useStaleSnapshot: true };
    const view = await ctx.runQuery(internal.view.look, { queues: queues.open }, stale);
    if (view.turn !== loop.turn) {
      await proceed(ctx, loop, STALE_MS, {});
      return null;
    }
    await cleanUp(ctx, view);
    await takeTurn(ctx, { loop, gate, queues }, view);
    return null;
  },
});

/** Tries callbacks again that are due, and deletes what was kept for long enough. */
async function cleanUp(ctx: MutationCtx, view: View): Promise<void> {
  for (const callback of view.callbacks) {
    await ctx.scheduler.runAfter(0, internal.callbacks.retry, { callback });
    await ctx.db.patch("callbacks", callback, { dueAt: Date.now() + MONITOR_MS });
  }
  for (const result of view.expired) {
    if ((await ctx.db.get("results", result)) !== null) await ctx.db.delete("results", result);
  }
  for (const callback of view.over) {
    if ((await ctx.db.get("callbacks", callback)) === null) continue;
    await ctx.db.delete("callbacks", callback);
  }
  for (const letter of view.dead) {
    const row = await ctx.db.get("dead", letter);
    if (row !== null) await forget(ctx, row);
  }
}

interface State {
  readonly loop: Doc<"loop">;
  readonly gate: Doc<"gate">;
  readonly queues: Queues;
}

async function takeTurn(
  ctx: MutationCtx,
  { loop, gate, queues }: State,
  view: View,
): Promise<void> {
  const sorted = await sortOut(ctx, queues, view.heads);
  const permits = permitsFor(gate, loop);
  const { executors } = view;
  const done = await assign(ctx, { loop, gate, heads: sorted.heads, executors, permits });
  const { lanes, left, throttled } = done;
  const throttles = throttlesOf(gate);
  const starts = withStarts(throttles, loop.starts ?? [], done.begun, Date.now());
  const memory = {
    lanes,
    cursors: advance(queues, view.heads, new Set([...sorted.skipped, ...left, ...done.cut])),
    ...(throttles.size > 0 || loop.starts !== undefined ? { starts } : {}),
  };
  const isLeft = left.size > throttled.size;
  await decide(ctx, {
    loop,
    gate,
    queues: queuesOf(gate, { ...loop, ...memory }),
    memory,
    isAssigned: done.assigned > 0,
    isHasty: sorted.isHasty || (!isLeft && (done.cut.size > 0 || view.heads.length === HEADS_MAX)),
    isCramped: isLeft,
    shares: done.shares,
  });
}

type Heads = View["heads"];

/**
 * What may be assigned of the rows that were found: due rows of closed pools, and those that get
 * their place among the rows of their key, go to the inbox; rows behind others of their key wait.
 */
async function sortOut(
  ctx: MutationCtx,
  { closed }: Queues,
  found: Heads,
): Promise<{ heads: Heads; skipped: ReadonlySet<Id<"work">>; isHasty: boolean }> {
  const heads: Heads = [];
  const skipped = new Set<Id<"work">>();
  let isHasty = false;
  for (const head of found) {
    const isClosed = closed.some(({ pool }) => pool === head.pool);
    if (head.enters === true || (isClosed && head.inbox === undefined)) {
      if (await enterInbox(ctx, head.work, head.enters === true)) isHasty ||= !isClosed;
    } else if (head.behind === undefined) heads.push(head);
    else if (!(await waitBehind(ctx, head.work, head.behind))) {
      skipped.add(head.work);
      isHasty = true;
    }
  }
  return { heads, skipped, isHasty };
}

/** A delayed row that is due joins those that wait. */
async function enterInbox(ctx: MutationCtx, work: Id<"work">, isFirst: boolean): Promise<boolean> {
  const row = await ctx.db.get("work", work);
  if (row?.dueAt === undefined) return false;
  const now = ctx.db.vars.commitTs;
  await ctx.db.patch("work", work, {
    dueAt: undefined,
    inbox: now,
    ...(isFirst ? { order: now } : {}),
  });
  return true;
}

/** False when there is nothing to wait behind any more: the next turn looks again. */
async function waitBehind(ctx: MutationCtx, work: Id<"work">, first: Id<"work">): Promise<boolean> {
  const row = await ctx.db.get("work", work);
  if (row === null || (row.inbox === undefined && row.dueAt === undefined)) return true;
  // Read for real: its settlement, which lets the next one go, comes before this or sees it.
  const before = await ctx.db.get("work", first);
  if (before === null) return false;
  await hold(ctx, row);
  if (before.held === undefined) return true;
  await unhold(ctx, before);
  return false;
}

/** Looks at the loop once a minute while it is awake, and restarts it when its turn is lost. */
export const monitor = internalMutation({
  args: {},
  returns: v.null(),
  handler: async (ctx) => {
    const gate = await readGate(ctx);
    const loop = await ctx.db.query("loop").first();
    const parking = await ctx.db.query("parking").first();
    if (gate === null || loop === null || gate.state === "idle") return null;
    const busy = await ctx.db.query("executors").first();
    const { logLevel } = configOf(gate);
    log(logLevel, "REPORT", "pool.busy", {
      turn: loop.turn,
      lanes: loop.lanes.length,
      parked: parking?.parked ?? false,
    });
    let lost = busy === null;
    if (parking?.parked !== true) {
      const scheduled = [gate.run, loop.run, parking?.run].filter((id) => id !== undefined);
      const rows = await Promise.all(
        scheduled.map((id) => ctx.db.system.get("_scheduled_functions", id)),
      );
      lost = rows.every((row) => fateOf(row) === "over");
    }
    if (lost) {
      log(logLevel, "WARN", "pool.restarted", { turn: loop.turn });
      if (!(await unpark(ctx))) {
        const run = await ctx.scheduler.runAfter(0, internal.loop.turn, { turn: loop.turn });
        await ctx.db.patch("gate", gate._id, { run });
      }
    }
    const again = await ctx.scheduler.runAfter(MONITOR_MS, internal.loop.monitor, {});
    await ctx.db.patch("gate", gate._id, { monitor: again });
    return null;
  },
});
