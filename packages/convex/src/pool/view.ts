/** What a turn sees, read on a stale snapshot so that no call and no settlement disturbs it. */
import { v, type Infer } from "convex/values";
import type { Doc } from "./_generated/dataModel.js";
import { internalQuery, type QueryCtx } from "./_generated/server.js";
import { HEADS_MAX } from "./limits.js";
import { vFunctionType, vRunKind, type Queue } from "./validators.js";

/** Executors that one turn looks at: more than can exist. */
const EXECUTORS_MAX = 400;

/** Results that one turn deletes: each may have 1 MiB, which is read three times until it is. */
const EXPIRED_MAX = 2;

/** Dead letters that one turn deletes: each may take its payload of 1 MiB with it. */
const DEAD_MAX = 3;

const vHead = v.object({
  work: v.id("work"),
  pool: v.string(),
  priority: v.number(),
  type: vFunctionType,
  count: v.number(),
  alone: v.boolean(),
  serial: v.boolean(),
  inbox: v.optional(v.int64()),
  /** It is due, and gets its place among the rows of its key now. */
  enters: v.optional(v.boolean()),
  /** The row of its key that goes first. */
  behind: v.optional(v.id("work")),
});

const vRun = v.object({
  id: v.id("executors"),
  pool: v.string(),
  kind: vRunKind,
  slots: v.number(),
  settled: v.number(),
  wants: v.boolean(),
});

const vCursor = v.object({ pool: v.string(), priority: v.number(), ts: v.int64() });

const vView = v.object({
  /** The loop's turn as of the snapshot; when it is an older one, absence proves nothing. */
  turn: v.number(),
  heads: v.array(vHead),
  executors: v.array(vRun),
  callbacks: v.array(v.id("callbacks")),
  /** Results whose time is over. */
  expired: v.array(v.id("results")),
  /** Callbacks that were given up, whose time is over. */
  over: v.array(v.id("callbacks")),
  /** Dead letters whose time is over. */
  dead: v.array(v.id("dead")),
});

export type View = Infer<typeof vView>;

export const look = internalQuery({
  args: { queues: v.array(vCursor) },
  returns: vView,
  handler: async (ctx, { queues }) => {
    const turn = (await ctx.db.query("loop").first())?.turn ?? 0;
    const rows: Doc<"work">[] = await dueWork(ctx);
    const waiting = await Promise.all(queues.map((queue) => inboxOf(ctx, queue)));
    rows.push(...waiting.flat());
    const urgent = rows.toSorted(byUrgency).slice(0, HEADS_MAX);
    const heads = await Promise.all(urgent.map((row) => headOf(ctx, row)));
    const executors = await ctx.db.query("executors").take(EXECUTORS_MAX);
    const callbacks = await ctx.db
      .query("callbacks")
      .withIndex("by_due", (q) => q.gt("dueAt", 0).lte("dueAt", Date.now()))
      .take(HEADS_MAX);
    const expired = await ctx.db
      .query("results")
      .withIndex("by_expiry", (q) => q.lte("expiresAt", Date.now()))
      .take(EXPIRED_MAX);
    const over = await ctx.db
      .query("callbacks")
      .withIndex("by_expiry", (q) => q.gt("expiresAt", 0).lte("expiresAt", Date.now()))
      .take(1);
    const dead = await ctx.db
      .query("dead")
      .withIndex("by_expiry", (q) => q.lte("expiresAt", Date.now()))
      .take(DEAD_MAX);
    return {
      turn,
      heads,
      executors: executors.map(({ _id, pool, kind, slots, settled, wants }) => ({
        id: _id,
        pool,
        kind,
        slots,
        settled,
        wants,
      })),
      callbacks: callbacks.map(({ _id }) => _id),
      expired: expired.map(({ _id }) => _id),
      over: over.map(({ _id }) => _id),
      dead: dead.map(({ _id }) => _id),
    };
  },
});

/** Delayed work whose time has come. */
function dueWork(ctx: QueryCtx): Promise<Doc<"work">[]> {
  return ctx.db
    .query("work")
    .withIndex("by_due", (q) => q.gt("dueAt", 0).lte("dueAt", Date.now()))
    .take(HEADS_MAX);
}

/** A cursor is inclusive: rows of one commit share its time, and taken ones left the index. */
export function inboxOf(
  ctx: QueryCtx,
  queue: Queue & { readonly ts: bigint },
  limit = HEADS_MAX,
): Promise<Doc<"work">[]> {
  return ctx.db
    .query("work")
    .withIndex("by_inbox", (q) =>
      q.eq("pool", queue.pool).eq("priority", queue.priority).gte("inbox", queue.ts),
    )
    .take(limit);
}

/** By priority, then by commit; what was delayed goes before what has just come. */
function byUrgency(a: Doc<"work">, b: Doc<"work">): number {
  if (a.priority !== b.priority) return a.priority - b.priority;
  const left = (a.inbox ?? 0n) as bigint;
  const right = (b.inbox ?? 0n) as bigint;
  if (left !== right) return left < right ? -1 : 1;
  return a._creationTime - b._creationTime;
}

type WaitingRow = Infer<typeof vHead>;

async function headOf(ctx: QueryCtx, row: Doc<"work">): Promise<WaitingRow> {
  const { _id, pool, priority, type, crashes = 0, inbox, key } = row;
  const count = row.count - (row.done?.length ?? 0);
  const serial = key !== undefined;
  const head = { work: _id, pool, priority, type, count, alone: crashes > 0, serial };
  // A committed row has the time itself.
  const at = inbox === undefined ? {} : { inbox: inbox as bigint };
  if (key === undefined) return { ...head, ...at };
  if (row.order === undefined) return { ...head, ...at, enters: true };
  const first = await ctx.db
    .query("work")
    .withIndex("by_key", (q) => q.eq("pool", pool).eq("key", key).gte("order", 0n))
    .first();
  const behind = first === null || first._id === _id ? {} : { behind: first._id };
  return { ...head, ...at, ...behind };
}
