/** Looks after the loop of a worker while a turn of it is scheduled. */
import { v } from "convex/values";
import { log } from "../base/log.js";
import { fateOf } from "../base/watch.js";
import { internal } from "./_generated/api.js";
import type { Doc } from "./_generated/dataModel.js";
import { env, internalMutation, internalQuery, type MutationCtx } from "./_generated/server.js";
import { OVERDUE_MS, REPORT_MS } from "./limits.js";
import { lookDelayMs, loopOf, monitorOf, proceed, watchOn } from "./wake.js";

/** The turn that is next, and when. */
export const next = internalQuery({
  args: { worker: v.id("workers") },
  returns: v.union(v.null(), v.object({ turn: v.number(), runAt: v.number() })),
  handler: async (ctx, { worker }) => {
    const loop = await loopOf(ctx, worker);
    return loop === null ? null : { turn: loop.turn, runAt: loop.runAt };
  },
});

/**
 * A loop that took a turn since the last look is well; that is found out without reading what the
 * loop writes, so that neither holds up the other. Any other is asked for, and started again when
 * the scheduler no longer has its turn, or has it and does not start it.
 */
export const look = internalMutation({
  args: { worker: v.id("workers"), turn: v.number(), look: v.number(), reportedAt: v.number() },
  returns: v.null(),
  handler: async (ctx, args) => {
    const worker = await ctx.db.get("workers", args.worker);
    if (worker === null || worker.state === "stopped") return null;
    const stale = { useStaleSnapshot: true };
    const seen = await ctx.runQuery(internal.monitor.next, { worker: args.worker }, stale);
    let next = seen;
    if (seen === null || seen.turn === args.turn) {
      const loop = await loopOf(ctx, args.worker);
      if (loop === null || loop.run === undefined) return null;
      if (await isLost(ctx, loop)) {
        await restart(ctx, worker, loop);
        return null;
      }
      next = loop;
    }
    if (next !== null) await again(ctx, worker, args, next);
    return null;
  },
});

async function isLost(ctx: MutationCtx, { run, runAt }: Doc<"loops">): Promise<boolean> {
  const scheduled = run === undefined ? null : await ctx.db.system.get("_scheduled_functions", run);
  if (fateOf(scheduled) === "over") return true;
  return scheduled?.state.kind === "pending" && Date.now() - runAt > OVERDUE_MS;
}

async function restart(
  ctx: MutationCtx,
  worker: Doc<"workers">,
  loop: Doc<"loops">,
): Promise<void> {
  log(env.LOG_LEVEL, "WARN", "worker.restarted", { name: worker.name, turn: loop.turn });
  if (loop.run !== undefined) await ctx.scheduler.cancel(loop.run);
  await proceed(ctx, loop, 0);
  await watchOn(ctx, worker, { turn: loop.turn + 1, at: Date.now() });
}

/** Plans the next look, never before the turn it is about is due. */
async function again(
  ctx: MutationCtx,
  worker: Doc<"workers">,
  args: { readonly look: number; readonly reportedAt: number },
  next: { readonly turn: number; readonly runAt: number },
): Promise<void> {
  const now = Date.now();
  let { reportedAt } = args;
  if (now - reportedAt >= REPORT_MS && worker.state === "running") {
    const { name, failing } = worker;
    log(env.LOG_LEVEL, "REPORT", "worker.busy", { name, turn: next.turn, failing });
    reportedAt = now;
  }
  const look = args.look + 1;
  const run = await ctx.scheduler.runAt(
    Math.max(now, next.runAt) + lookDelayMs(worker, look),
    internal.monitor.look,
    { worker: worker._id, turn: next.turn, look, reportedAt },
  );
  const row = await monitorOf(ctx, worker._id);
  if (row !== null) await ctx.db.patch("monitors", row._id, { run });
}
