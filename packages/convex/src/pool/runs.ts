/**
 * What an executor calls. Public, because the executor of a `BatchWorkpool` is an action of the
 * app; each call is fenced by the run's row.
 */
import { v, type Value } from "convex/values";
import { FLIGHT_BYTES_MAX } from "../base/sizes.js";
import type { Doc, Id } from "./_generated/dataModel.js";
import { mutation, query, type MutationCtx, type QueryCtx } from "./_generated/server.js";
import { configOf, readGate, signsFor, unpark } from "./gate.js";
import { placesOf } from "./places.js";
import { settleOutcomes } from "./settlement.js";
import { vOutcome, vTaken, type Taken } from "./validators.js";

function runOf(ctx: QueryCtx, token: string): Promise<Doc<"executors"> | null> {
  return ctx.db
    .query("executors")
    .withIndex("by_token", (q) => q.eq("token", token))
    .unique();
}

/** Rows that were assigned and not taken, up to a round. */
function untaken(ctx: QueryCtx, run: Doc<"executors">, upTo: number): Promise<Doc<"work">[]> {
  return ctx.db
    .query("work")
    .withIndex("by_executor", (q) =>
      q.eq("executor", run._id).gt("round", run.taken).lte("round", upTo),
    )
    .collect();
}

/** The latest round that was assigned, and whether more work than runs is waiting. */
export const waiting = query({
  args: { token: v.string() },
  returns: v.union(
    v.null(),
    v.object({ upTo: v.number(), parked: v.boolean(), keep: v.optional(v.number()) }),
  ),
  handler: async (ctx, { token }) => {
    const run = await runOf(ctx, token);
    if (run === null) return null;
    const last = await ctx.db
      .query("work")
      .withIndex("by_executor", (q) => q.eq("executor", run._id))
      .order("desc")
      .first();
    const upTo = Math.max(last?.round ?? 0, run.taken);
    return { upTo, ...(await signsFor(ctx, run)) };
  },
});

/**
 * Takes assigned rounds in their order, up to `upTo` and as far as `room` bytes go, and returns
 * their payloads. From here on their items may have been started. `null`: the run was superseded.
 */
export const take = mutation({
  args: { token: v.string(), upTo: v.number(), room: v.optional(v.number()) },
  returns: v.union(
    v.null(),
    v.object({
      rows: v.array(vTaken),
      /** The latest round taken. */
      taken: v.number(),
      slots: v.number(),
      parked: v.boolean(),
    }),
  ),
  handler: async (ctx, { token, upTo, room = FLIGHT_BYTES_MAX }) => {
    const run = await runOf(ctx, token);
    if (run === null) return null;
    const gate = await readGate(ctx);
    const rows: Taken[] = [];
    let bytes = 0;
    let { taken } = run;
    for (const row of await untaken(ctx, run, upTo)) {
      bytes += row.bytes;
      if (bytes > room && rows.length > 0) break;
      taken = row.round as number;
      const found = await load(ctx, row);
      if (found !== null) rows.push(found);
    }
    if (taken > run.taken || run.wants) {
      await ctx.db.patch("executors", run._id, { taken, wants: false });
    }
    const { parked, keep = run.slots } = await signsFor(ctx, run);
    const most = gate === null ? run.slots : configOf(gate).maxParallelism;
    return { rows, taken, slots: Math.min(run.slots, keep, most), parked };
  },
});

async function load(ctx: QueryCtx, row: Doc<"work">): Promise<Taken | null> {
  const chunk = await ctx.db.get("chunks", row.chunk);
  if (chunk === null) return null;
  return takenOf(row, chunk);
}

/** A work row and its payload, as an executor works on them: what is not settled yet. */
export function takenOf(row: Doc<"work">, chunk: Doc<"chunks">): Taken {
  const { fn, onComplete, retry, keepMs, deadMs, contexts, isolate } = chunk;
  const items = placesOf(row).map((place) => {
    const context = contexts?.length === 1 ? contexts[0] : contexts?.[place];
    const item = { place, args: chunk.items[place] as Value };
    const canceled = row.canceled?.includes(place) ? { canceled: true } : {};
    return { ...item, ...canceled, ...(context === undefined ? {} : { context }) };
  });
  const { _id: work, attempts, bytes } = row;
  return {
    work,
    chunk: row.chunk,
    fn,
    attempts,
    bytes,
    items,
    ...(onComplete === undefined ? {} : { onComplete }),
    ...(retry === undefined ? {} : { retry }),
    ...(keepMs === undefined ? {} : { keepMs }),
    ...(deadMs === undefined ? {} : { deadMs }),
    ...(isolate === undefined ? {} : { isolate }),
    ...(row.key === undefined ? {} : { serial: true }),
  };
}

/**
 * Settles outcomes, and tells the loop how the run fares. `null`: the run was superseded, and
 * nothing was written.
 */
export const settle = mutation({
  args: {
    token: v.string(),
    outcomes: v.array(vOutcome),
    /** Items settled by this run before this call. */
    settled: v.number(),
    /** How much the outcomes count, when that is not their number. */
    weight: v.optional(v.number()),
    /** Rows of which nothing is running or unsettled besides these outcomes: they go back. */
    back: v.optional(v.array(v.id("work"))),
    /** The stock runs low: more is wanted, if there is more. */
    low: v.boolean(),
    /** Slots that are still in use; the others go back to the pool. */
    slots: v.optional(v.number()),
    /** With all of these settled, the run is over, unless more was assigned. */
    end: v.boolean(),
  },
  returns: v.union(
    v.null(),
    v.object({
      /** How many of the outcomes were dealt with. */
      dealt: v.number(),
      ended: v.boolean(),
      /** The latest round that was assigned, when the run could not end because of it. */
      upTo: v.optional(v.number()),
      /** More work than runs was waiting. */
      parked: v.boolean(),
      /** The slots that the run is to keep, when others need some; 0: it gives its stock back. */
      keep: v.optional(v.number()),
    }),
  ),
  handler: async (ctx, { token, outcomes, settled, weight, back = [], low, slots, end }) => {
    const run = await runOf(ctx, token);
    if (run === null) return null;
    const dealt = await settleOutcomes(ctx, run._id, outcomes);
    const isWhole = dealt === outcomes.length;
    if (isWhole) for (const work of back) await giveBack(ctx, run, work);
    const signs = await signsFor(ctx, run);
    if (end && isWhole) {
      const upTo = await lastRound(ctx, run);
      if (upTo > run.taken) return { dealt, ended: false, upTo, ...signs };
      await endRun(ctx, run);
      return { dealt, ended: true, ...signs };
    }
    const asks = low && signs.parked && signs.keep !== 0;
    const fewer = slots !== undefined && slots < run.slots;
    if (asks || fewer) {
      await ctx.db.patch("executors", run._id, {
        settled: settled + (isWhole ? (weight ?? dealt) : dealt),
        wants: asks,
        ...(fewer ? { slots } : {}),
      });
      await unpark(ctx);
    }
    return { dealt, ended: false, ...signs };
  },
});

/** Puts a row back into the inbox: what is left of it has not begun. */
async function giveBack(ctx: MutationCtx, run: Doc<"executors">, work: Id<"work">): Promise<void> {
  const row = await ctx.db.get("work", work);
  if (row?.executor !== run._id) return;
  const inbox = ctx.db.vars.commitTs;
  await ctx.db.patch("work", work, { executor: undefined, round: undefined, inbox });
}

async function lastRound(ctx: QueryCtx, run: Doc<"executors">): Promise<number> {
  const last = await ctx.db
    .query("work")
    .withIndex("by_executor", (q) => q.eq("executor", run._id).gt("round", run.taken))
    .order("desc")
    .first();
  return last?.round ?? 0;
}

/** The run is over and nothing is left of it. The room it had wakes a loop that waits for room. */
export async function endRun(ctx: MutationCtx, run: Doc<"executors">): Promise<void> {
  await ctx.scheduler.cancel(run.watch);
  await ctx.db.delete("executors", run._id);
  await unpark(ctx);
}
