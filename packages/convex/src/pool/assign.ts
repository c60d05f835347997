/** Carries out a plan: work rows get their executor, new executors are announced and scheduled. */
import { present } from "../base/fields.js";
import { watchDelayMs } from "../base/watch.js";
import { internal } from "./_generated/api.js";
import type { Doc, Id } from "./_generated/dataModel.js";
import type { MutationCtx } from "./_generated/server.js";
import type { FunctionHandle } from "convex/server";
import { cut } from "./cut.js";
import { configOf } from "./gate.js";
import { GROUP_MAX, SLOTS_MAX } from "./limits.js";
import { plan, widthOf, type FreshLane, type Head, type Plan } from "./plan.js";
import type { RunKind } from "./validators.js";

interface Waiting extends Head {
  readonly work: Id<"work">;
}

interface Running {
  readonly id: Id<"executors">;
  readonly pool: string;
  readonly kind: RunKind;
  readonly slots: number;
  readonly settled: number;
  readonly wants: boolean;
}

interface Given {
  readonly loop: Doc<"loop">;
  readonly gate: Doc<"gate">;
  readonly heads: readonly Waiting[];
  readonly executors: readonly Running[];
  /** Items of each throttled pool that may begin. */
  readonly permits: ReadonlyMap<string, number>;
}

interface Assigned {
  readonly lanes: Doc<"loop">["lanes"];
  /** Work rows that got an executor. */
  readonly assigned: number;
  readonly left: ReadonlySet<Id<"work">>;
  /** Some of them are left for their throttle alone. */
  readonly throttled: ReadonlySet<Id<"work">>;
  /** Items of each pool that begin. */
  readonly begun: ReadonlyMap<string, number>;
  /** Rows that were cut: what was cut off still waits. */
  readonly cut: ReadonlySet<Id<"work">>;
  readonly shares: NonNullable<Doc<"parking">["shares"]>;
}

type Lane = Doc<"loop">["lanes"][number];

export async function assign(ctx: MutationCtx, given: Given): Promise<Assigned> {
  const { loop, gate, heads, executors } = given;
  // Runs that the view does not show any more are over: it shows our latest turn.
  const known = loop.lanes.flatMap((lane) => {
    const run = executors.find(({ id }) => id === lane.executor);
    return run === undefined ? [] : [{ ...run, lane }];
  });
  const lanes = known.map((one) => ({
    ...one,
    outstanding: one.lane.assigned - one.settled,
  }));
  const slotsMax = { action: SLOTS_MAX, inline: gate.executor?.slots ?? 0, mutation: 1 };
  const { maxParallelism } = configOf(gate);
  const decided = plan(heads, lanes, { maxParallelism, slotsMax, permits: given.permits });
  const rowsOf = await rowsByLane(ctx, heads, decided);

  const left = new Set(heads.filter((_, at) => decided.assigned[at] === null).map((h) => h.work));
  const begun = new Map<string, number>();
  const after: Lane[] = [];
  let assigned = 0;
  for (const [index, { lane }] of known.entries()) {
    const rows = rowsOf.get(index) ?? [];
    // The run may have ended since; the read makes one of the two transactions run again.
    if (rows.length > 0 && (await ctx.db.get("executors", lane.executor)) === null) {
      for (const row of rows) left.add(row._id);
      continue;
    }
    after.push(await give(ctx, lane, rows, begun));
    assigned += rows.length;
  }
  for (const [index, fresh] of decided.fresh.entries()) {
    const rows = rowsOf.get(known.length + index) ?? [];
    if (rows.length === 0) continue;
    const executor = await launch(ctx, gate, fresh, `${loop.turn}.${index}`, rows);
    after.push(await give(ctx, { executor, round: 0, assigned: 0 }, rows, begun));
    assigned += rows.length;
  }
  const throttled = new Set([...decided.throttled].flatMap((at) => heads[at]?.work ?? []));
  const shares = decided.shares.flatMap(({ lane, slots }) => {
    const executor = known[lane]?.id;
    return executor === undefined ? [] : [{ executor, slots }];
  });
  const cutRows = new Set([...decided.cuts.keys()].flatMap((at) => heads[at]?.work ?? []));
  return { lanes: after, assigned, left, throttled, begun, cut: cutRows, shares };
}

/** The rows of each lane, as they are now: what a stale read showed may be gone or taken. */
async function rowsByLane(
  ctx: MutationCtx,
  heads: readonly Waiting[],
  { assigned, cuts }: Plan,
): Promise<Map<number, Doc<"work">[]>> {
  const rowsOf = new Map<number, Doc<"work">[]>();
  for (const [at, { work }] of heads.entries()) {
    const lane = assigned[at] ?? null;
    if (lane === null) continue;
    const row = await ctx.db.get("work", work);
    if (row === null || (row.inbox === undefined && row.dueAt === undefined)) continue;
    const rows = rowsOf.get(lane) ?? [];
    rowsOf.set(lane, rows);
    const most = cuts.get(at);
    const { inbox, dueAt } = row;
    rows.push(most === undefined ? row : await cut(ctx, row, most, present({ inbox, dueAt })));
  }
  return rowsOf;
}

async function give(
  ctx: MutationCtx,
  lane: Lane,
  rows: readonly Doc<"work">[],
  begun: Map<string, number>,
): Promise<Lane> {
  let { round, assigned } = lane;
  for (const row of rows) {
    round++;
    const count = row.count - (row.done?.length ?? 0);
    assigned += widthOf({ count, serial: row.key !== undefined });
    begun.set(row.pool, (begun.get(row.pool) ?? 0) + count);
    const taken = { executor: lane.executor, round, inbox: undefined, dueAt: undefined };
    await ctx.db.patch("work", row._id, taken);
  }
  return { executor: lane.executor, round, assigned };
}

/** The run and its watch are scheduled first, because the row names both. */
async function launch(
  ctx: MutationCtx,
  gate: Doc<"gate">,
  { pool, kind, slots }: FreshLane,
  token: string,
  rows: readonly Doc<"work">[],
): Promise<Id<"executors">> {
  const args = { token, upTo: rows.length };
  const start = (): Promise<Id<"_scheduled_functions">> => {
    if (kind === "mutation") return ctx.scheduler.runAfter(0, internal.mutations.run, { token });
    if (kind === "action") return ctx.scheduler.runAfter(0, internal.actions.run, args);
    const { handle } = gate.executor as { handle: string };
    return ctx.scheduler.runAfter(0, handle as FunctionHandle<"action">, args);
  };
  const run = await start();
  const watch = await ctx.scheduler.runAfter(watchDelayMs(0), internal.watch.look, {
    token,
    look: 0,
  });
  const group = kind === "mutation" ? { group: GROUP_MAX } : {};
  const fixed = { token, pool, kind, slots, taken: 0, settled: 0, wants: false };
  return ctx.db.insert("executors", { ...fixed, ...group, run, watch });
}
