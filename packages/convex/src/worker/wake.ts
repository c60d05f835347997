/** Starting, scheduling and halting the loop of a worker. */
import { ConvexError, type Value } from "convex/values";
import { watchDelayMs } from "../base/watch.js";
import { internal } from "./_generated/api.js";
import type { Doc, Id } from "./_generated/dataModel.js";
import type { MutationCtx, QueryCtx } from "./_generated/server.js";
import { DELAY_MS_MAX, MONITOR_LAG_MS_MIN } from "./limits.js";
import type { Config } from "./validators.js";

/** What a turn leaves for the next one. */
export interface Memory {
  readonly cursor?: Value | undefined;
  readonly failures?: number;
  readonly lastError?: { readonly message: string; readonly at: number };
  readonly untouched?: string | undefined;
  readonly poison?: Doc<"loops">["poison"];
  readonly limit?: number | undefined;
  readonly workedAt?: number;
}

export function byName(ctx: QueryCtx, name: string): Promise<Doc<"workers"> | null> {
  return ctx.db
    .query("workers")
    .withIndex("by_name", (q) => q.eq("name", name))
    .unique();
}

export function loopOf(ctx: QueryCtx, worker: Id<"workers">): Promise<Doc<"loops"> | null> {
  return ctx.db
    .query("loops")
    .withIndex("by_worker", (q) => q.eq("worker", worker))
    .unique();
}

/** A delay that a person or a function named, ms: what is not a number is none. */
export function delayOf(ms: number | undefined, least = 0): number {
  return ms === undefined || Number.isNaN(ms) ? least : Math.min(Math.max(ms, least), DELAY_MS_MAX);
}

/** Schedules the next turn, and hands the loop's memory to it. */
export async function proceed(
  ctx: MutationCtx,
  loop: Doc<"loops">,
  delayMs: number,
  memory: Memory = {},
): Promise<void> {
  const turn = loop.turn + 1;
  const runAt = Date.now() + delayMs;
  const args = { worker: loop.worker, turn };
  const run = await ctx.scheduler.runAt(runAt, internal.loop.turn, args);
  await ctx.db.patch("loops", loop._id, { ...memory, turn, run, runAt });
}

type Changes = Partial<Pick<Doc<"workers">, "workQuery" | "workerMutation" | "config">> & {
  readonly onDead?: string | undefined;
};

/** Starts the loop, whatever it did before: a turn that was scheduled is superseded. */
export async function wake(
  ctx: MutationCtx,
  worker: Doc<"workers">,
  delayMs: number,
  changes: Changes = {},
): Promise<void> {
  const loop = await loopOf(ctx, worker._id);
  if (loop === null) return;
  const now = Date.now();
  // A timer that is due sooner than the debounce ends stays the sooner one.
  const isTimed = worker.state === "idle" && loop.run !== undefined;
  const delay = isTimed ? Math.min(delayMs, Math.max(0, loop.runAt - now)) : delayMs;
  await drop(ctx, loop);
  await proceed(ctx, loop, delay, { workedAt: now + delay });
  await watch(ctx, worker, { turn: loop.turn + 1, at: now + delay });
  await ctx.db.patch("workers", worker._id, { warned: false, ...changes, state: "running" });
}

/** Ends the loop: what was scheduled is cancelled, and what runs is superseded. */
export async function halt(ctx: MutationCtx, worker: Id<"workers">): Promise<void> {
  const loop = await loopOf(ctx, worker);
  if (loop === null) return;
  await drop(ctx, loop);
  await ctx.db.patch("loops", loop._id, { turn: loop.turn + 1, run: undefined });
  await unwatch(ctx, worker);
}

/**
 * Cancels a turn that is not due. One that is may run, and be what called us: cancelling it would
 * cancel all that it schedules. Its number fences it anyway.
 */
async function drop(ctx: MutationCtx, { run, runAt }: Doc<"loops">): Promise<void> {
  if (run !== undefined && runAt > Date.now()) await ctx.scheduler.cancel(run);
}

/** Where the monitor of a worker is written down. */
export function monitorOf(ctx: QueryCtx, worker: Id<"workers">): Promise<Doc<"monitors"> | null> {
  return ctx.db
    .query("monitors")
    .withIndex("by_worker", (q) => q.eq("worker", worker))
    .unique();
}

export async function unwatch(ctx: MutationCtx, worker: Id<"workers">): Promise<void> {
  const monitor = await monitorOf(ctx, worker);
  if (monitor?.run === undefined) return;
  await ctx.scheduler.cancel(monitor.run);
  await ctx.db.patch("monitors", monitor._id, { run: undefined });
}

/** Has the loop looked after from when its turn is due, instead of what was planned before. */
export async function watch(
  ctx: MutationCtx,
  worker: Doc<"workers">,
  due: { readonly turn: number; readonly at: number },
): Promise<void> {
  await unwatch(ctx, worker._id);
  await watchOn(ctx, worker, due);
}

/** The same, by the monitor itself: it must not cancel what it runs in. */
export async function watchOn(
  ctx: MutationCtx,
  worker: Doc<"workers">,
  due: { readonly turn: number; readonly at: number },
): Promise<void> {
  const monitor = await monitorOf(ctx, worker._id);
  if (monitor === null) return;
  const now = Date.now();
  const args = { worker: worker._id, turn: due.turn, look: 0, reportedAt: now };
  const at = Math.max(now, due.at) + lookDelayMs(worker, 0);
  const run = await ctx.scheduler.runAt(at, internal.monitor.look, args);
  await ctx.db.patch("monitors", monitor._id, { run });
}

/** What is in force: an override, else what was pinged. */
export function configOf({
  config,
  override,
}: Pick<Doc<"workers">, "config" | "override">): Config {
  return { ...config, ...override };
}

/** The first looks come soon; the later ones as often as was declared. */
export function lookDelayMs(worker: Doc<"workers">, look: number): number {
  const lag = Math.max(delayOf(configOf(worker).monitorLagMs), MONITOR_LAG_MS_MIN);
  return Math.min(watchDelayMs(look) === MONITOR_LAG_MS_MIN ? lag : watchDelayMs(look), lag);
}

/** The worker of that name. Throws `WORKER_UNKNOWN`. */
export async function known(ctx: MutationCtx, name: string): Promise<Doc<"workers">> {
  const worker = await byName(ctx, name);
  if (worker !== null) return worker;
  const message = `There is no worker "${name}". The first ping of a name makes it.`;
  throw new ConvexError({ code: "WORKER_UNKNOWN", field: "name", value: name, message });
}
