/** When the next turn of the loop comes, or whether it sleeps until a call or a time. */
import { internal } from "./_generated/api.js";
import type { Doc } from "./_generated/dataModel.js";
import type { MutationCtx } from "./_generated/server.js";
import { MONITOR_MS, QUEUES_KEPT, QUIET_MS, SHARE_LOOK_MS } from "./limits.js";
import { closingOf, type Cursor, type Queues } from "./queues.js";
import { inboxOf } from "./view.js";

/** What a turn leaves for the next one. */
export type Memory = Partial<Pick<Doc<"loop">, "lanes" | "cursors" | "starts" | "quiet">>;

export interface Turned {
  readonly loop: Doc<"loop">;
  readonly gate: Doc<"gate">;
  readonly queues: Queues;
  readonly memory: Memory;
  /** Rows got an executor. */
  readonly isAssigned: boolean;
  /** More is to be done at once. */
  readonly isHasty: boolean;
  /** Rows are left because there is no room. */
  readonly isCramped: boolean;
  readonly shares: NonNullable<Doc<"parking">["shares"]>;
}

/** When the next turn comes. */
export async function decide(ctx: MutationCtx, turned: Turned): Promise<void> {
  const { loop, gate, memory } = turned;
  if (turned.isHasty) await proceed(ctx, loop, 0, memory);
  else if (turned.isCramped) await park(ctx, turned);
  else if (turned.isAssigned) await proceed(ctx, loop, QUIET_MS, { ...memory, quiet: true });
  else if (!(await sleepIfIdle(ctx, { ...loop, ...memory }, gate, turned.queues))) {
    await proceed(ctx, loop, 0, memory);
  }
}

/** Waits for room. */
async function park(ctx: MutationCtx, { loop, gate, memory, shares }: Turned): Promise<void> {
  // If a run ended since the stale read, there is room: its settlement could not wake a loop that
  // had not parked yet. Reading the rows here makes one of the two run again.
  for (const lane of memory.lanes ?? []) {
    if ((await ctx.db.get("executors", lane.executor)) === null) {
      await proceed(ctx, loop, 0, memory);
      return;
    }
  }
  const parking = (await ctx.db.query("parking").first()) as Doc<"parking">;
  const given = shares.length === 0 ? {} : { shares };
  const turn = loop.turn + 1;
  await ctx.db.patch("parking", parking._id, { parked: true, turn, ...given });
  await rest(ctx, loop, memory);
  if (gate.queues.length === 1) return;
  // Calls wake no loop that is awake: it looks by itself whether another pool has work now.
  const run = await ctx.scheduler.runAfter(SHARE_LOOK_MS, internal.loop.turn, { turn });
  await ctx.db.patch("loop", loop._id, { run, timed: true });
}

/** A turn that did not wait for room any longer: what frees some need not wake the loop. */
export async function leaveParking(ctx: MutationCtx, loop: Doc<"loop">): Promise<void> {
  if (loop.timed !== true) return;
  const parking = await ctx.db.query("parking").first();
  if (parking?.parked === true) {
    await ctx.db.patch("parking", parking._id, { parked: false, shares: undefined });
  }
  await ctx.db.patch("loop", loop._id, { timed: undefined });
}

export async function proceed(
  ctx: MutationCtx,
  loop: Doc<"loop">,
  delayMs: number,
  memory: Memory,
): Promise<void> {
  const turn = loop.turn + 1;
  const run = await ctx.scheduler.runAfter(delayMs, internal.loop.turn, { turn });
  await ctx.db.patch("loop", loop._id, { quiet: false, ...memory, turn, run });
}

/** The next turn is scheduled by whoever wakes the loop. */
async function rest(ctx: MutationCtx, loop: Doc<"loop">, memory: Memory): Promise<void> {
  const over = { turn: loop.turn + 1, run: undefined, quiet: false };
  await ctx.db.patch("loop", loop._id, { ...memory, ...over });
}

/** A timer wakes the loop without the gate. */
export async function stayAwake(ctx: MutationCtx, gate: Doc<"gate">): Promise<void> {
  if (gate.state === "awake") return;
  const monitor = await ctx.scheduler.runAfter(MONITOR_MS, internal.loop.monitor, {});
  await ctx.db.patch("gate", gate._id, { state: "awake", timer: undefined, monitor });
}

/**
 * Goes to sleep unless something waits. These reads are real: a call that commits meanwhile either
 * is seen here, or sees the sleeping gate.
 */
export async function sleepIfIdle(
  ctx: MutationCtx,
  loop: Doc<"loop">,
  gate: Doc<"gate">,
  queues: Queues,
): Promise<boolean> {
  for (const queue of queues.open) if (await isWaiting(ctx, queue)) return false;
  const dueAt = Math.min(await nextDue(ctx), await nextPermit(ctx, loop, gate, queues));
  if (dueAt <= Date.now()) return false;
  if (gate.monitor !== undefined) await ctx.scheduler.cancel(gate.monitor);
  const turn = loop.turn + 1;
  const timer = Number.isFinite(dueAt)
    ? await ctx.scheduler.runAt(dueAt, internal.loop.turn, { turn })
    : undefined;
  const asleep = { state: "idle" as const, run: undefined, monitor: undefined };
  // Queues that nobody uses any more would cost every turn a read.
  const forgotten =
    gate.queues.length > QUEUES_KEPT && (await ctx.db.query("work").first()) === null;
  const kept = forgotten ? { queues: [] } : {};
  await ctx.db.patch("gate", gate._id, { ...asleep, ...kept, turn, timer });
  const { lanes, cursors, starts } = loop;
  await rest(ctx, loop, {
    lanes,
    cursors: forgotten ? [] : cursors,
    ...(starts ? { starts } : {}),
  });
  return true;
}

async function isWaiting(ctx: MutationCtx, queue: Cursor): Promise<boolean> {
  return (await inboxOf(ctx, queue, 1)).length > 0;
}

/** When delayed work or a callback is due, or something kept expires; `Infinity` for never. */
async function nextDue(ctx: MutationCtx): Promise<number> {
  const work = await ctx.db
    .query("work")
    .withIndex("by_due", (q) => q.gt("dueAt", 0))
    .first();
  const callback = await ctx.db
    .query("callbacks")
    .withIndex("by_due", (q) => q.gt("dueAt", 0))
    .first();
  const over = await ctx.db
    .query("callbacks")
    .withIndex("by_expiry", (q) => q.gt("expiresAt", 0))
    .first();
  const result = await ctx.db.query("results").withIndex("by_expiry").first();
  const dead = await ctx.db.query("dead").withIndex("by_expiry").first();
  const times = [work?.dueAt, callback?.dueAt, over?.expiresAt, result?.expiresAt, dead?.expiresAt];
  return Math.min(...times.map((at) => at ?? Number.POSITIVE_INFINITY));
}

/** When the first of the throttled pools that have work may begin some of it. */
async function nextPermit(
  ctx: MutationCtx,
  loop: Doc<"loop">,
  gate: Doc<"gate">,
  { closed }: Queues,
): Promise<number> {
  let next = Number.POSITIVE_INFINITY;
  for (const queue of closed) {
    const until = closingOf(gate, loop, queue.pool, Date.now());
    if (until !== null && until < next && (await isWaiting(ctx, queue))) next = until;
  }
  return next;
}
