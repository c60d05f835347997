/** Retention: what has outlived its time is deleted, some of it at a time. */
import { v } from "convex/values";
import { internal } from "./_generated/api.js";
import type { Doc, Id } from "./_generated/dataModel.js";
import { internalMutation, type MutationCtx } from "./_generated/server.js";
import { runnerOf } from "./groups.js";
import { SWEEP_DEAD, SWEEP_MS, SWEEP_MS_MAX, SWEEP_ROWS } from "./limits.js";

type Expiring = "dead" | "groups" | "history" | "jobs" | "keys";

/** Most rows of each table that one transaction deletes. */
const TABLES: Readonly<Record<Expiring, number>> = {
  dead: SWEEP_DEAD,
  groups: SWEEP_ROWS,
  history: SWEEP_ROWS,
  jobs: SWEEP_ROWS,
  keys: SWEEP_ROWS,
};

/**
 * Sees to it that a sweep comes once these times (ms) have passed, or earlier. Called when a group
 * goes to sleep or a job is over: whatever expires was written before that.
 */
export async function ensureSweep(
  ctx: MutationCtx,
  spans: readonly (number | undefined)[],
): Promise<void> {
  const span = Math.min(...spans.filter((ms) => ms !== undefined));
  if (!Number.isFinite(span)) return;
  const sweep = await ctx.db.query("sweeps").first();
  const now = Date.now();
  const wanted = now + Math.min(Math.max(span, SWEEP_MS), SWEEP_MS_MAX);
  // One that is long overdue was cancelled by hand.
  const comes = sweep !== null && sweep.at <= wanted && sweep.at > now - SWEEP_MS;
  if (!comes) await schedule(ctx, sweep, wanted);
}

/** A sweep for an earlier time stands down when it finds another time in the row. */
async function schedule(ctx: MutationCtx, sweep: Doc<"sweeps"> | null, at: number): Promise<void> {
  if (sweep === null) await ctx.db.insert("sweeps", { at });
  else await ctx.db.patch("sweeps", sweep._id, { at });
  await ctx.scheduler.runAt(at, internal.sweep.run, { at });
}

/** Deletes what has expired. Comes again when something will expire, and never else. */
export const run = internalMutation({
  args: { at: v.number() },
  returns: v.null(),
  handler: async (ctx, { at }) => {
    const sweep = await ctx.db.query("sweeps").first();
    if (sweep?.at !== at) return null;
    const now = Date.now();
    let nextAt = Number.POSITIVE_INFINITY;
    const latest = now + SWEEP_MS_MAX;
    for (const table of Object.keys(TABLES) as Expiring[]) {
      nextAt = Math.min(nextAt, await sweepTable(ctx, table, now));
    }
    if (Number.isFinite(nextAt)) await schedule(ctx, sweep, Math.min(nextAt, latest));
    else await ctx.db.delete("sweeps", sweep._id);
    return null;
  },
});

/** Returns when to look at the table again; `Infinity` when nothing of it will expire. */
async function sweepTable(ctx: MutationCtx, table: Expiring, now: number): Promise<number> {
  const most = TABLES[table];
  const rows = ctx.db
    .query(table)
    .withIndex("by_expiry", (q) => q.gt("expiresAt", 0))
    .order("asc");
  let deleted = 0;
  for await (const row of rows) {
    const { expiresAt = Number.POSITIVE_INFINITY } = row;
    if (expiresAt > now) return Math.max(expiresAt, now + SWEEP_MS);
    if (deleted === most) return now;
    deleted++;
    if (table === "groups") await forget(ctx, row as Doc<"groups">);
    else await ctx.db.delete(table, row._id as Id<typeof table>);
  }
  return Number.POSITIVE_INFINITY;
}

/** A group with a key in which nothing waits. The next item of it makes it anew. */
async function forget(ctx: MutationCtx, group: Doc<"groups">): Promise<void> {
  const runner = await runnerOf(ctx, group._id);
  if (runner !== null) await ctx.db.delete("runners", runner._id);
  await ctx.db.delete("groups", group._id);
}
