/** Crash detection: a look at the state of a run's scheduled function. See `base/watch.ts`. */
import { v } from "convex/values";
import { log } from "../base/log.js";
import { fateOf, watchDelayMs } from "../base/watch.js";
import { internal } from "./_generated/api.js";
import type { Doc } from "./_generated/dataModel.js";
import { internalMutation, type MutationCtx } from "./_generated/server.js";
import { configOf, readGate, unpark, wake } from "./gate.js";
import { cut } from "./cut.js";
import { CRASHES_MAX, SETTLE_COUNT_MAX } from "./limits.js";
import { outcomeOf } from "./outcome.js";
import { release } from "./keys.js";
import { placesOf } from "./places.js";
import { takenOf } from "./runs.js";
import { settleOutcomes } from "./settlement.js";

/** Rows that one look brings back; each in doubt may mean reading its payload. */
const ROWS_MAX = 32;

export const look = internalMutation({
  args: { token: v.string(), look: v.number() },
  returns: v.null(),
  handler: async (ctx, args) => {
    const run = await ctx.db
      .query("executors")
      .withIndex("by_token", (q) => q.eq("token", args.token))
      .unique();
    if (run === null) return null;
    const look = args.look + 1;
    if (fateOf(await ctx.db.system.get("_scheduled_functions", run.run)) === "alive") {
      const delay = watchDelayMs(look);
      const watch = await ctx.scheduler.runAfter(delay, internal.watch.look, { ...args, look });
      await ctx.db.patch("executors", run._id, { watch });
      return null;
    }
    const gate = await readGate(ctx);
    log(gate === null ? undefined : configOf(gate).logLevel, "WARN", "pool.run_lost", {
      run: args.token,
      kind: run.kind,
    });
    const rows = await ctx.db
      .query("work")
      .withIndex("by_executor", (q) => q.eq("executor", run._id))
      .take(ROWS_MAX);
    for (const row of rows) await bringBack(ctx, run, row);
    if (rows.length === ROWS_MAX) {
      await ctx.scheduler.runAfter(0, internal.watch.look, args);
      return null;
    }
    await ctx.db.delete("executors", run._id);
    if (!(await unpark(ctx)) && gate?.state === "idle") await wake(ctx, gate);
    return null;
  },
});

async function bringBack(ctx: MutationCtx, run: Doc<"executors">, row: Doc<"work">): Promise<void> {
  const free = { executor: undefined, round: undefined, inbox: ctx.db.vars.commitTs };
  if (run.kind === "mutation") {
    await bringBackMutations(ctx, row);
    return;
  }
  if ((row.round ?? 0) > run.taken) {
    // Never taken, so certainly not started: no crash of theirs.
    await ctx.db.patch("work", row._id, free);
    return;
  }
  const open = placesOf(row).length;
  // Together with others nothing is given up: they are told apart, half by half.
  const crashes = open > 1 ? 1 : (row.crashes ?? 0) + 1;
  if (!row.again || crashes > CRASHES_MAX) {
    const freed = { executor: undefined, round: undefined };
    await ctx.db.patch("work", row._id, { ...freed, crashes });
    await ctx.scheduler.runAfter(0, internal.watch.giveUp, { work: row._id });
    return;
  }
  const { inbox } = free;
  if (open > 1) await cut(ctx, { ...row, crashes }, Math.ceil(open / 2), { inbox });
  await ctx.db.patch("work", row._id, { ...free, crashes });
}

/** A transaction that failed wrote nothing; it is tried again, with fewer mutations in it. */
async function bringBackMutations(ctx: MutationCtx, row: Doc<"work">): Promise<void> {
  const chunk = await ctx.db.get("chunks", row.chunk);
  const freed = { executor: undefined, round: undefined };
  if (chunk === null) {
    await ctx.db.delete("work", row._id);
    await release(ctx, row);
    return;
  }
  const { handle } = chunk.fn;
  const known = await ctx.db
    .query("groups")
    .withIndex("by_handle", (q) => q.eq("handle", handle))
    .unique();
  const crashes = (row.crashes ?? 0) + 1;
  if ((known?.size ?? 2) <= 1 && crashes > CRASHES_MAX) {
    await ctx.db.patch("work", row._id, { ...freed, crashes });
    await ctx.scheduler.runAfter(0, internal.watch.giveUp, { work: row._id });
    return;
  }
  const size = Math.max(1, Math.floor((known?.size ?? row.count) / 2));
  if (known === null) await ctx.db.insert("groups", { handle, size });
  else await ctx.db.patch("groups", known._id, { size });
  await ctx.db.patch("work", row._id, { ...freed, crashes, inbox: ctx.db.vars.commitTs });
}

/** Ends the items of a row whose run ended without a word, when they may not run again. */
export const giveUp = internalMutation({
  args: { work: v.id("work") },
  returns: v.null(),
  handler: async (ctx, { work }) => {
    const row = await ctx.db.get("work", work);
    const chunk = row === null ? null : await ctx.db.get("chunks", row.chunk);
    if (row === null || chunk === null) return null;
    const error = row.again
      ? `Given up: ${row.crashes ?? 0} runs of it ended without a result.`
      : "The run ended without a result. It may have been carried out, and has no retries.";
    const taken = takenOf(row, chunk);
    // Of mutations, only the first was tried, in a transaction of its own.
    const isFirstOnly = row.type === "mutation";
    const outcomes = taken.items
      .slice(0, isFirstOnly ? 1 : SETTLE_COUNT_MAX)
      .map((item) => outcomeOf(taken, item, { kind: "failed", error }));
    const dealt = await settleOutcomes(ctx, null, outcomes);
    if (dealt === taken.items.length) return null;
    if (isFirstOnly) {
      await ctx.db.patch("work", work, { inbox: ctx.db.vars.commitTs, crashes: undefined });
      const gate = await readGate(ctx);
      if (gate?.state === "idle") await wake(ctx, gate);
    } else await ctx.scheduler.runAfter(0, internal.watch.giveUp, { work });
    return null;
  },
});
