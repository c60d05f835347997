/** The gate: what every call reads, and how the loop is woken. */
import { ConvexError } from "convex/values";
import { log } from "../base/log.js";
import { internal } from "./_generated/api.js";
import type { Doc } from "./_generated/dataModel.js";
import { env, type MutationCtx, type QueryCtx } from "./_generated/server.js";
import { MONITOR_MS, PARALLELISM_DEFAULT, QUEUES_MAX } from "./limits.js";
import type { Config, PoolConfig, Queue } from "./validators.js";

/** The gate; `null` before the first call. */
export function readGate(ctx: QueryCtx): Promise<Doc<"gate"> | null> {
  return ctx.db.query("gate").first();
}

/** The gate, with the rows of the loop; the first call makes them. `null`: it declares nothing. */
export async function openGate(ctx: MutationCtx, declared: Config | null): Promise<Doc<"gate">> {
  const gate = await readGate(ctx);
  if (gate !== null) return gate;
  await ctx.db.insert("parking", { parked: false, turn: 0 });
  await ctx.db.insert("loop", { turn: 0, quiet: false, cursors: [], lanes: [] });
  const id = await ctx.db.insert("gate", {
    state: "idle",
    turn: 0,
    declared: declared ?? {},
    ...(declared === null ? { undeclared: true } : {}),
    override: {},
    warned: false,
    queues: [],
  });
  return (await ctx.db.get("gate", id)) as Doc<"gate">;
}

/** What is in force: an override, else the first declaration, else the default. */
export function configOf(gate: Pick<Doc<"gate">, "override" | "declared">): {
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
  if (!known && gate.queues.length >= QUEUES_MAX) {
    const message =
      `At most ${QUEUES_MAX} pools and priorities are in use at a time in one instance. ` +
      "Use a few levels of priority, and a key instead of a pool for each of many.";
    throw new ConvexError({
      code: "OPTION_INVALID",
      field: "priority",
      value: String(queue.priority),
      message,
    });
  }
  await wake(ctx, known ? gate : { ...gate, queues: [...gate.queues, queue] });
}

/** Warns when the declaration differs from the stored one, the first time. */
export async function compare(
  ctx: MutationCtx,
  gate: Doc<"gate">,
  declared: Config,
): Promise<Doc<"gate">> {
  if (gate.undeclared === true) {
    await ctx.db.patch("gate", gate._id, { declared, undeclared: undefined });
    return { ...gate, declared };
  }
  const differs =
    gate.declared.maxParallelism !== declared.maxParallelism ||
    gate.declared.logLevel !== declared.logLevel;
  if (!differs) return gate;
  await warn(ctx, gate, { kept: gate.declared, ignored: declared });
  return { ...gate, warned: true };
}

interface Declared {
  readonly pool: string;
  readonly declared: PoolConfig;
}

/** Stores what is declared of pools for the first time; warns once when it was another thing. */
export async function declarePools(
  ctx: MutationCtx,
  gate: Doc<"gate">,
  declarations: readonly Declared[],
): Promise<Doc<"gate">> {
  let pools = gate.pools ?? [];
  for (const { pool, declared } of declarations) {
    const known = pools.find((one) => one.pool === pool);
    const [before, now] = [known?.declared.throttle, declared.throttle];
    if (before?.max === now?.max && before?.duration === now?.duration) continue;
    if (known !== undefined && before !== undefined) {
      await warn(ctx, gate, { kept: known, ignored: { pool, declared } });
      continue;
    }
    const others = pools.filter((one) => one !== known);
    pools = [...others, { ...(known ?? { pool, override: {} }), declared }];
  }
  if (pools === gate.pools || pools.length === 0) return gate;
  await ctx.db.patch("gate", gate._id, { pools });
  return { ...gate, pools };
}

async function warn(
  ctx: MutationCtx,
  gate: Doc<"gate">,
  { kept, ignored }: { kept: unknown; ignored: unknown },
): Promise<void> {
  if (gate.warned) return;
  log(configOf(gate).logLevel, "WARN", "pool.declared_twice", {
    kept: JSON.stringify(kept),
    ignored: JSON.stringify(ignored),
    advice: "declare the same options everywhere, or store them with config.update",
  });
  await ctx.db.patch("gate", gate._id, { warned: true });
}

/** Wakes the loop if it sleeps, and stores the queues. */
export async function wake(ctx: MutationCtx, gate: Doc<"gate">): Promise<void> {
  const { _id, queues, state, turn, timer } = gate;
  if (state === "awake") {
    await ctx.db.patch("gate", _id, { queues });
    // It may wait for room that is the new queue's by right.
    await unpark(ctx);
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
  await ctx.db.patch("parking", parking._id, { parked: false, run, shares: undefined });
  return true;
}

/** What a run has to know of the others. */
export interface Signs {
  /** The loop waits for room: there is more work than runs. */
  readonly parked: boolean;
  /** How many slots the run is to keep, when it is not all of them; 0: its pool is paused. */
  readonly keep?: number;
}

export async function signsFor(ctx: QueryCtx, run: Doc<"executors">): Promise<Signs> {
  const parking = await ctx.db.query("parking").first();
  const { parked = false, stop = false, shares } = parking ?? {};
  const isStopped = typeof stop === "boolean" ? stop : stop.includes(run.pool);
  if (isStopped) return { parked, keep: 0 };
  const keep = shares?.find(({ executor }) => executor === run._id)?.slots;
  return keep === undefined ? { parked } : { parked, keep };
}
