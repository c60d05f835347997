/** Looks at runners: whether one died, and whether an add filled a batch before its time. */
import { v } from "convex/values";
import { log } from "../base/log.js";
import { fateOf, watchDelayMs } from "../base/watch.js";
import { internal } from "./_generated/api.js";
import { env, internalMutation } from "./_generated/server.js";
import { arm, firstFlush, look as waitingOf, runnerOf } from "./groups.js";
import { record } from "./history.js";
import { fail } from "./outcome.js";

const LOST = "The run ended without a result.";

/** See `base/watch.ts`. A runner that is over did not settle: its batch failed an attempt. */
export const look = internalMutation({
  args: { group: v.id("groups"), token: v.number(), look: v.number() },
  returns: v.null(),
  handler: async (ctx, args) => {
    const runner = await runnerOf(ctx, args.group);
    const group = await ctx.db.get("groups", args.group);
    if (runner?.token !== args.token || group === null || runner.run === undefined) return null;
    if (fateOf(await ctx.db.system.get("_scheduled_functions", runner.run)) === "alive") {
      const look = args.look + 1;
      const again = { ...args, look };
      const delay = watchDelayMs(look);
      const watch = await ctx.scheduler.runAfter(delay, internal.watch.look, again);
      await ctx.db.patch("runners", runner._id, { watch });
      return null;
    }
    log(env.LOG_LEVEL, "WARN", "batch.run_lost", { batchId: group.batchId });
    const flush = await firstFlush(ctx, group._id);
    let { entries } = runner;
    if (flush !== null && runner.state === "running") {
      await record(ctx, { group, runner }, flush, LOST);
      await fail(ctx, group, flush, LOST);
      entries++;
    }
    const first = await firstFlush(ctx, group._id);
    // The watch that is written down is this one, and must not be cancelled.
    await arm(ctx, { ...runner, watch: null }, first?.retryAt ?? 0, { entries });
    return null;
  },
});

/** An add may have filled a batch: flushes it before its timer rings. */
export const hurry = internalMutation({
  args: { group: v.id("groups") },
  returns: v.null(),
  handler: async (ctx, args) => {
    const runner = await runnerOf(ctx, args.group);
    const group = await ctx.db.get("groups", args.group);
    if (runner === null || group === null || runner.state === "asleep") return null;
    if (group.paused === true) return null;
    if (runner.state === "running") {
      // What the runner decides at the same time, it decides again.
      await ctx.db.patch("runners", runner._id, { looks: runner.looks + 1 });
      return null;
    }
    const isSoon = runner.run !== undefined && runner.runAt <= Date.now();
    if (isSoon || (await firstFlush(ctx, group._id)) !== null) return null;
    if ((await waitingOf(ctx, group, runner)).isDue) await arm(ctx, runner, 0);
    return null;
  },
});
