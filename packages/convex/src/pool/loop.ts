/** The loop: the sole assigner of work. One mutation per turn, one turn at a time. */
import { v } from "convex/values";
import { log } from "../base/log.js";
import { fateOf } from "../base/watch.js";
import { assign } from "./assign.js";
import { internal } from "./_generated/api.js";
import type { Doc, Id } from "./_generated/dataModel.js";
import { internalMutation, type MutationCtx } from "./_generated/server.js";
import { configOf, readGate, unpark } from "./gate.js";
import { HEADS_MAX, MONITOR_MS, QUIET_MS } from "./limits.js";
import { inboxOf } from "./view.js";
import type { Queue } from "./validators.js";

/** How long a turn waits for a snapshot that shows the one before it, ms. */
const STALE_MS = 20;

type Cursor = Queue & { ts: bigint };

/** One turn. A number that is not the next one belongs to a turn that was superseded. */
export const turn = internalMutation({
  args: { turn: v.number() },
  returns: v.null(),
  handler: async (ctx, args) => {
    const loop = await ctx.db.query("loop").first();
    const gate = await readGate(ctx);
    if (loop === null || gate === null || loop.turn !== args.turn) return null;
    const queues = cursorsOf(loop, gate);
    if (loop.quiet && (await sleepIfIdle(ctx, loop, gate, queues))) return null;
    await stayAwake(ctx, gate);
    const stale = { useStaleSnapshot: true };
    const view = await ctx.runQuery(internal.view.look, { queues }, stale);
    if (view.turn !== loop.turn) {
      await proceed(ctx, loop, STALE_MS, {});
      return null;
    }
    for (const callback of view.callbacks) {
      await ctx.scheduler.runAfter(0, internal.callbacks.retry, { callback });
      await ctx.db.patch("callbacks", callback, { dueAt: Date.now() + MONITOR_MS });
    }
    for (const result of view.expired) {
      if ((await ctx.db.get("results", result)) !== null) await ctx.db.delete("results", result);
    }
    const done = await assign(ctx, { loop, gate, heads: view.heads, executors: view.executors });
    const memory = { lanes: done.lanes, cursors: advance(queues, view.heads, done.left) };
    await decide(ctx, { loop, gate, memory, done, full: view.heads.length === HEADS_MAX });
    return null;
  },
});

interface Turned {
  readonly loop: Doc<"loop">;
  readonly gate: Doc<"gate">;
  readonly memory: Pick<Doc<"loop">, "lanes" | "cursors">;
  readonly done: { readonly assigned: number; readonly left: ReadonlySet<Id<"work">> };
  /** More was waiting than one turn looks at. */
  readonly full: boolean;
}

/** When the next turn comes. */
async function decide(ctx: MutationCtx, turned: Turned): Promise<void> {
  const { loop, gate, memory, done, full } = turned;
  if (done.left.size === 0) {
    if (full) await proceed(ctx, loop, 0, memory);
    else if (done.assigned > 0) await proceed(ctx, loop, QUIET_MS, { ...memory, quiet: true });
    else if (!(await sleepIfIdle(ctx, { ...loop, ...memory }, gate, memory.cursors))) {
      await proceed(ctx, loop, 0, memory);
    }
    return;
  }
  // There is no room. If a run ended since the stale read, there is: its settlement could not wake
  // a loop that had not parked yet. Reading the rows here makes one of the two run again.
  for (const lane of memory.lanes) {
    if ((await ctx.db.get("executors", lane.executor)) === null) {
      await proceed(ctx, loop, 0, memory);
      return;
    }
  }
  const parking = (await ctx.db.query("parking").first()) as Doc<"parking">;
  await ctx.db.patch("parking", parking._id, { parked: true, turn: loop.turn + 1 });
  await rest(ctx, loop, memory);
}

async function proceed(
  ctx: MutationCtx,
  loop: Doc<"loop">,
  delayMs: number,
  memory: Partial<Pick<Doc<"loop">, "lanes" | "cursors" | "quiet">>,
): Promise<void> {
  const turn = loop.turn + 1;
  const run = await ctx.scheduler.runAfter(delayMs, internal.loop.turn, { turn });
  await ctx.db.patch("loop", loop._id, { quiet: false, ...memory, turn, run });
}

/** The next turn is scheduled by whoever wakes the loop. */
async function rest(
  ctx: MutationCtx,
  loop: Doc<"loop">,
  memory: Partial<Pick<Doc<"loop">, "lanes" | "cursors">>,
): Promise<void> {
  const over = { turn: loop.turn + 1, run: undefined, quiet: false };
  await ctx.db.patch("loop", loop._id, { ...memory, ...over });
}

/** A timer wakes the loop without the gate. */
async function stayAwake(ctx: MutationCtx, gate: Doc<"gate">): Promise<void> {
  if (gate.state === "awake") return;
  const monitor = await ctx.scheduler.runAfter(MONITOR_MS, internal.loop.monitor, {});
  await ctx.db.patch("gate", gate._id, { state: "awake", timer: undefined, monitor });
}

/**
 * Goes to sleep unless something waits. These reads are real: a call that commits meanwhile either
 * is seen here, or sees the sleeping gate.
 */
async function sleepIfIdle(
  ctx: MutationCtx,
  loop: Doc<"loop">,
  gate: Doc<"gate">,
  queues: readonly Cursor[],
): Promise<boolean> {
  for (const queue of queues) {
    if ((await inboxOf(ctx, queue, 1)).length > 0) return false;
  }
  const dueAt = await nextDue(ctx);
  if (dueAt <= Date.now()) return false;
  if (gate.monitor !== undefined) await ctx.scheduler.cancel(gate.monitor);
  const turn = loop.turn + 1;
  const timer = Number.isFinite(dueAt)
    ? await ctx.scheduler.runAt(dueAt, internal.loop.turn, { turn })
    : undefined;
  const asleep = { state: "idle" as const, run: undefined, monitor: undefined };
  await ctx.db.patch("gate", gate._id, { ...asleep, turn, timer });
  await rest(ctx, loop, { lanes: loop.lanes, cursors: loop.cursors });
  return true;
}

/** When delayed work or a callback is due, or a result expires; `Infinity` for never. */
async function nextDue(ctx: MutationCtx): Promise<number> {
  const work = await ctx.db
    .query("work")
    .withIndex("by_due", (q) => q.gt("dueAt", 0))
    .first();
  const callback = await ctx.db
    .query("callbacks")
    .withIndex("by_due", (q) => q.gt("dueAt", 0))
    .first();
  const result = await ctx.db.query("results").withIndex("by_expiry").first();
  const never = Number.POSITIVE_INFINITY;
  return Math.min(work?.dueAt ?? never, callback?.dueAt ?? never, result?.expiresAt ?? never);
}

function cursorsOf(loop: Doc<"loop">, gate: Doc<"gate">): Cursor[] {
  return gate.queues.map(({ pool, priority }) => {
    const known = loop.cursors.find((one) => one.pool === pool && one.priority === priority);
    return known ?? { pool, priority, ts: 0n };
  });
}

/** Each cursor up to its first row that is left, or to its last row that was taken. */
function advance(
  cursors: readonly Cursor[],
  heads: readonly { work: Id<"work">; pool: string; priority: number; inbox?: bigint }[],
  left: ReadonlySet<Id<"work">>,
): Cursor[] {
  return cursors.map((cursor) => {
    let { ts } = cursor;
    for (const head of heads) {
      if (head.pool !== cursor.pool || head.priority !== cursor.priority) continue;
      if (head.inbox === undefined) continue;
      ts = head.inbox;
      if (left.has(head.work)) break;
    }
    return { ...cursor, ts };
  });
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
