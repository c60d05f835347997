/** The gate: what every call reads, and how the loop is woken. */
import { log } from "../base/log.js";
import { internal } from "./_generated/api.js";
import type { Doc } from "./_generated/dataModel.js";
import { env, type MutationCtx, type QueryCtx } from "./_generated/server.js";
import { MONITOR_MS, PARALLELISM_DEFAULT } from "./limits.js";
import type { Config, Queue } from "./validators.js";

/** The gate; `null` before the first call. */
export function readGate(ctx: QueryCtx): Promise<Doc<"gate"> | null> {
  return ctx.db.query("gate").first();
}

/** The gate, with the rows of the loop; the first call makes them. */
export async function openGate(ctx: MutationCtx, declared: Config): Promise<Doc<"gate">> {
  const gate = await readGate(ctx);
  if (gate !== null) return gate;
  await ctx.db.insert("parking", { parked: false, turn: 0 });
  await ctx.db.insert("loop", { turn: 0, quiet: false, cursors: [], lanes: [] });
  const id = await ctx.db.insert("gate", {
    state: "idle",
    turn: 0,
    declared,
    override: {},
    warned: false,
    queues: [],
  });
  return (await ctx.db.get("gate", id)) as Doc<"gate">;
}

/** What is in force: an override, else the first declaration, else the default. */
export function configOf(gate: Doc<"gate">): {
  maxParallelism: number;
  logLevel: Config["logLevel"];
} {
  const { override, declared } = gate;
  return {
    maxParallelism: override.maxParallelism ?? declared.maxParallelism ?? PARALLELISM_DEFAULT,
    logLevel: override.logLevel ?? declared.logLevel ?? env.LOG_LEVEL,
  };
}

/**
 * What a call does after its inserts: names its queue if it is new, warns once if its code declares
 * something else than the first, and wakes the loop if it sleeps. Mostly, it writes nothing.
 */
export async function enter(ctx: MutationCtx, gate: Doc<"gate">, queue: Queue): Promise<void> {
  const known = gate.queues.some(
    ({ pool, priority }) => pool === queue.pool && priority === queue.priority,
  );
  if (known && gate.state === "awake") return;
  await wake(ctx, known ? gate : { ...gate, queues: [...gate.queues, queue] });
}

/** Warns when the declaration differs from the stored one, the first time. */
export async function compare(
  ctx: MutationCtx,
  gate: Doc<"gate">,
  declared: Config,
): Promise<Doc<"gate">> {
  const differs =
    gate.declared.maxParallelism !== declared.maxParallelism ||
    gate.declared.logLevel !== declared.logLevel;
  if (!differs || gate.warned) return gate;
  log(configOf(gate).logLevel, "WARN", "pool.declared_twice", {
    kept: JSON.stringify(gate.declared),
    ignored: JSON.stringify(declared),
    advice: "declare the same options everywhere, or store them with config.update",
  });
  await ctx.db.patch("gate", gate._id, { warned: true });
  return { ...gate, warned: true };
}

/** Wakes the loop if it sleeps, and stores the queues. */
export async function wake(ctx: MutationCtx, gate: Doc<"gate">): Promise<void> {
  const { _id, queues, state, turn, timer } = gate;
  if (state === "awake") {
    await ctx.db.patch("gate", _id, { queues });
    return;
  }
  if (timer !== undefined) await ctx.scheduler.cancel(timer);
  const run = await ctx.scheduler.runAfter(0, internal.loop.turn, { turn });
  const monitor = await ctx.scheduler.runAfter(MONITOR_MS, internal.loop.monitor, {});
  await ctx.db.patch("gate", _id, { state: "awake", queues, run, monitor, timer: undefined });
}

/** Wakes the loop if it waits for room. True when it did. */
export async function unpark(ctx: MutationCtx): Promise<boolean> {
  const parking = await ctx.db.query("parking").first();
  if (parking === null || !parking.parked) return false;
  const run = await ctx.scheduler.runAfter(0, internal.loop.turn, { turn: parking.turn });
  await ctx.db.patch("parking", parking._id, { parked: false, run });
  return true;
}

/** Whether the loop waits for room: there is more work than runs. */
export async function isParked(ctx: QueryCtx): Promise<boolean> {
  return (await ctx.db.query("parking").first())?.parked ?? false;
}
