/** What a turn sees, read on a stale snapshot so that no call and no settlement disturbs it. */
import { v } from "convex/values";
import type { Doc, Id } from "./_generated/dataModel.js";
import { internalQuery, type QueryCtx } from "./_generated/server.js";
import { HEADS_MAX } from "./limits.js";
import { vFunctionType, vRunKind, type Queue } from "./validators.js";

/** Executors that one turn looks at: more than can exist. */
const EXECUTORS_MAX = 400;

/** Results that one turn deletes: each may have 2 MiB, read here and again when it is deleted. */
const EXPIRED_MAX = 3;

const vHead = v.object({
  work: v.id("work"),
  pool: v.string(),
  priority: v.number(),
  type: vFunctionType,
  count: v.number(),
  alone: v.boolean(),
  inbox: v.optional(v.int64()),
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

export const look = internalQuery({
  args: { queues: v.array(vCursor) },
  returns: v.object({
    /** The loop's turn as of the snapshot; when it is an older one, absence proves nothing. */
    turn: v.number(),
    heads: v.array(vHead),
    executors: v.array(vRun),
    callbacks: v.array(v.id("callbacks")),
    /** Results whose time is over. */
    expired: v.array(v.id("results")),
  }),
  handler: async (ctx, { queues }) => {
    const turn = (await ctx.db.query("loop").first())?.turn ?? 0;
    const rows: Doc<"work">[] = await dueWork(ctx);
    const waiting = await Promise.all(queues.map((queue) => inboxOf(ctx, queue)));
    rows.push(...waiting.flat());
    const heads = rows.toSorted(byUrgency).slice(0, HEADS_MAX).map(headOf);
    const executors = await ctx.db.query("executors").take(EXECUTORS_MAX);
    const callbacks = await ctx.db
      .query("callbacks")
      .withIndex("by_due", (q) => q.gt("dueAt", 0).lte("dueAt", Date.now()))
      .take(HEADS_MAX);
    const expired = await ctx.db
      .query("results")
      .withIndex("by_expiry", (q) => q.lte("expiresAt", Date.now()))
      .take(EXPIRED_MAX);
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

function headOf(row: Doc<"work">): {
  work: Id<"work">;
  pool: string;
  priority: number;
  type: Doc<"work">["type"];
  count: number;
  alone: boolean;
  inbox?: bigint;
} {
  const { _id, pool, priority, type, crashes = 0, inbox } = row;
  const count = row.count - (row.done?.length ?? 0);
  const head = { work: _id, pool, priority, type, count, alone: crashes > 0 };
  // A committed row has the time itself.
  return inbox === undefined ? head : { ...head, inbox: inbox as bigint };
}
