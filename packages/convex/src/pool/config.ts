/** Configuration at run time, without a deploy. */
import { ConvexError, v } from "convex/values";
import { present } from "../base/fields.js";
import { vLogLevel } from "../base/log.js";
import { checkConfig, checkThrottle } from "./check.js";
import type { Doc } from "./_generated/dataModel.js";
import { mutation, query, type MutationCtx } from "./_generated/server.js";
import { configOf, openGate, readGate, unpark, wake } from "./gate.js";
import { throttleOf } from "./queues.js";
import { vThrottle, type Pool } from "./validators.js";

/**
 * Stores what wins over every declaration in code; `null` takes it back, what is not given stays.
 * `maxParallelism: 0` pauses: nothing new is started, and what runs is settled as usual. `throttle`
 * is that of `pool`, by default the unnamed one.
 */
export const update = mutation({
  args: {
    maxParallelism: v.optional(v.union(v.number(), v.null())),
    logLevel: v.optional(v.union(vLogLevel, v.null())),
    pool: v.optional(v.string()),
    throttle: v.optional(v.union(vThrottle, v.null())),
  },
  returns: v.null(),
  handler: async (ctx, { pool = "", throttle, ...given }) => {
    const gate = await openGate(ctx, null);
    const override = present({ ...gate.override, ...given });
    const problem =
      checkConfig(override, gate.executor !== undefined) ??
      (throttle === undefined || throttle === null ? null : checkThrottle(throttle));
    if (problem !== null) throw new ConvexError(problem);
    const pools = withPool(gate, pool, (known) =>
      throttle === undefined ? known : { ...known, override: present({ throttle }) },
    );
    await store(ctx, gate, { override, ...(throttle === undefined ? {} : { pools }) });
    return null;
  },
});

/** Starts nothing any more, of one pool or of all. What runs goes on, and is settled. */
export const pause = mutation({
  args: { pool: v.optional(v.string()) },
  returns: v.null(),
  handler: async (ctx, { pool }) => {
    await setPaused(ctx, pool, true);
    return null;
  },
});

/** Goes on, with one pool that was paused or with all of them. */
export const resume = mutation({
  args: { pool: v.optional(v.string()) },
  returns: v.null(),
  handler: async (ctx, { pool }) => {
    await setPaused(ctx, pool, false);
    return null;
  },
});

/** Forgets overrides and what code declared: the next call that enqueues declares anew. */
export const reset = mutation({
  args: {},
  returns: v.null(),
  handler: async (ctx) => {
    const gate = await openGate(ctx, null);
    const paused = (gate.pools ?? []).filter((one) => one.paused === true);
    const pools = paused.map((one) => ({ ...one, declared: {}, override: {} }));
    await store(ctx, gate, { declared: {}, undeclared: true, override: {}, pools, warned: false });
    return null;
  },
});

/** What is in force. */
export const get = query({
  args: {},
  returns: v.object({
    maxParallelism: v.number(),
    paused: v.boolean(),
    pools: v.array(
      v.object({ pool: v.string(), paused: v.boolean(), throttle: v.optional(vThrottle) }),
    ),
  }),
  handler: async (ctx) => {
    const gate = await readGate(ctx);
    const { maxParallelism } = configOf(gate ?? { override: {}, declared: {} });
    const pools = (gate?.pools ?? []).map(({ pool, paused = false }) => {
      const throttle = gate === null ? undefined : throttleOf(gate, pool);
      return { pool, paused, ...(throttle === undefined ? {} : { throttle }) };
    });
    return { maxParallelism, paused: gate?.paused ?? false, pools };
  },
});

type Changes = Partial<Doc<"gate">>;

async function setPaused(
  ctx: MutationCtx,
  pool: string | undefined,
  paused: boolean,
): Promise<void> {
  const gate = await openGate(ctx, null);
  if (pool !== undefined) {
    await store(ctx, gate, { pools: withPool(gate, pool, (known) => ({ ...known, paused })) });
    return;
  }
  const pools = paused ? gate.pools : gate.pools?.map((one) => ({ ...one, paused: false }));
  await store(ctx, gate, { paused, ...(pools === undefined ? {} : { pools }) });
}

function withPool(gate: Doc<"gate">, pool: string, change: (known: Pool) => Pool): Pool[] {
  const pools = gate.pools ?? [];
  const known = pools.find((one) => one.pool === pool) ?? { pool, declared: {}, override: {} };
  return [...pools.filter((one) => one.pool !== pool), change(known)];
}

/** Stores the changes, tells the runs whether they are to stop, and has the loop look again. */
async function store(ctx: MutationCtx, gate: Doc<"gate">, changes: Changes): Promise<void> {
  const after = { ...gate, ...changes };
  await ctx.db.patch("gate", gate._id, changes);
  const paused = (after.pools ?? []).flatMap((one) => (one.paused === true ? [one.pool] : []));
  const isAll = after.paused === true || configOf(after).maxParallelism === 0;
  const stop = isAll ? true : paused;
  const parking = await ctx.db.query("parking").first();
  if (parking !== null) {
    const isNone = stop !== true && stop.length === 0;
    await ctx.db.patch("parking", parking._id, { stop: isNone ? undefined : stop });
  }
  // Work may wait for the room that there is now.
  if (gate.state === "idle") await wake(ctx, after);
  else await unpark(ctx);
}
