/** What of a group can be shown: what waits, what runs, and why it is not flushed yet. */
import { v } from "convex/values";
import type { Doc } from "./_generated/dataModel.js";
import { query, type QueryCtx } from "./_generated/server.js";
import { firstFlush, groupOf, inForce, look, runnerOf } from "./groups.js";
import { GROUPS_PAGE, LIST_MAX } from "./limits.js";
import { settingsOf } from "./settings.js";
import { throttledUntil } from "./throttle.js";
import type { vActive } from "./validators.js";

/** Headers that are read of each group where there may be many. */
const SHOWN_HEADERS = 500;

/** Groups in which something waits or runs, by their keys. */
export function awakeOf(
  ctx: QueryCtx,
  batchId: string,
  after: string | undefined,
): Promise<Doc<"groups">[]> {
  return ctx.db
    .query("groups")
    .withIndex("by_state", (q) => {
      const awake = q.eq("batchId", batchId).eq("state", "awake");
      return after === undefined ? awake : awake.gt("groupKey", after);
    })
    .take(GROUPS_PAGE);
}

interface WaitingItems {
  readonly items: number;
  readonly first: Doc<"headers"> | undefined;
  readonly last: Doc<"headers"> | undefined;
}

/** What waits in a group, as far as that many calls added it. */
export async function waitingOf(
  ctx: QueryCtx,
  group: Doc<"groups">,
  most: number,
): Promise<WaitingItems> {
  const headers = await ctx.db
    .query("headers")
    .withIndex("by_inbox", (q) => q.eq("group", group._id))
    .take(most);
  const items = headers.reduce((sum, { count, from }) => sum + count - from, 0);
  return { items, first: headers[0], last: headers.at(-1) };
}

/** The batches of a group that are not over: at most one that is sealed, and what waits. */
export async function activeOf(
  ctx: QueryCtx,
  group: Doc<"groups">,
): Promise<(typeof vActive)["type"][]> {
  const of = group.groupKey === undefined ? {} : { groupKey: group.groupKey };
  const runner = await runnerOf(ctx, group._id);
  const flush = await firstFlush(ctx, group._id);
  const { items, first, last } = await waitingOf(ctx, group, SHOWN_HEADERS);
  const batches: (typeof vActive)["type"][] = [];
  if (flush !== null) {
    const status = runner?.state === "running" ? "flushing" : "accumulating";
    const { count: itemCount, createdAt, startedAt: lastUpdatedAt } = flush;
    batches.push({ ...of, status, itemCount, createdAt, lastUpdatedAt });
  }
  if (first !== undefined) {
    batches.push({
      ...of,
      status: "accumulating",
      itemCount: items,
      createdAt: first.addedAt,
      lastUpdatedAt: last?.addedAt ?? first.addedAt,
    });
  }
  return batches;
}

const vWaitsFor = v.union(
  v.literal("nothing"),
  v.literal("size or time"),
  v.literal("size or flush"),
  v.literal("paused"),
  v.literal("backoff"),
  v.literal("throttle"),
  v.literal("its handler"),
  v.literal("next look"),
);

type WaitsFor = (typeof vWaitsFor)["type"];

/** What has to happen before something more of a group is flushed, and when that is known to be. */
export const explain = query({
  args: { batchId: v.string(), groupKey: v.optional(v.string()) },
  returns: v.object({
    waiting: v.number(),
    waitsFor: vWaitsFor,
    /** When it is flushed if nothing more is added, ms since the epoch; `null`: not by time. */
    nextFlushAt: v.union(v.number(), v.null()),
    attempts: v.number(),
    text: v.string(),
  }),
  handler: async (ctx, { batchId, groupKey }) => {
    const group = await groupOf(ctx, batchId, groupKey);
    const runner = group === null ? null : await runnerOf(ctx, group._id);
    if (group === null || runner === null) return told(0, 0, "nothing", null);
    const { items } = await waitingOf(ctx, group, SHOWN_HEADERS);
    const flush = await firstFlush(ctx, group._id);
    const waiting = items + (flush?.count ?? 0);
    const attempts = flush?.attempts ?? 0;
    if (waiting === 0) return told(0, 0, "nothing", null);
    if (group.paused === true) return told(waiting, attempts, "paused", null);
    if (runner.state === "running") return told(waiting, attempts, "its handler", null);
    const [waitsFor, nextFlushAt] = await timeOf(ctx, group, runner, flush);
    return told(waiting, attempts, waitsFor, nextFlushAt);
  },
});

/** What a group waits for whose runner does not run now. */
async function timeOf(
  ctx: QueryCtx,
  group: Doc<"groups">,
  runner: Doc<"runners">,
  flush: Doc<"flushes"> | null,
): Promise<[WaitsFor, number | null]> {
  const now = Date.now();
  const { throttle, flushIntervalMs } = inForce(group);
  const until = throttledUntil(throttle, runner.deliveries, now);
  const backoff = flush !== null && flush.retryAt > now ? flush.retryAt : null;
  if (backoff !== null && backoff >= (until ?? 0)) return ["backoff", backoff];
  const found = flush === null ? await look(ctx, group, runner) : null;
  if (found === null || found.isDue) {
    return until === null ? ["next look", Math.max(now, runner.runAt)] : ["throttle", until];
  }
  if (flushIntervalMs === 0) return ["size or flush", null];
  return ["size or time", Math.max(found.dueAt, until ?? 0)];
}

const TEXTS: Readonly<Record<WaitsFor, string>> = {
  nothing: "nothing waits",
  "size or time": "no batch is full, and the oldest item has not waited flushIntervalMs yet",
  "size or flush": "no batch is full, and flushIntervalMs is 0: flush() hands over what waits",
  paused: "the batch is paused until resume()",
  backoff: "a batch failed, and waits for its next attempt",
  throttle: "the throttle allows no other flush yet",
  "its handler": "processBatch runs; a group has one batch at a time",
  "next look": "it is due",
};

interface Explanation {
  waiting: number;
  waitsFor: WaitsFor;
  nextFlushAt: number | null;
  attempts: number;
  text: string;
}

function told(
  waiting: number,
  attempts: number,
  waitsFor: WaitsFor,
  nextFlushAt: number | null,
): Explanation {
  const counts = attempts === 0 ? "" : ` (failed attempts so far: ${attempts})`;
  const when = nextFlushAt === null ? "" : `; next at ${new Date(nextFlushAt).toISOString()}`;
  const text = `${waiting} items wait: ${TEXTS[waitsFor]}${counts}${when}.`;
  return { waiting, waitsFor, nextFlushAt, attempts, text };
}

/** Groups, in the order of their ids and keys; at most `limit`, 100 by default. */
export const list = query({
  args: { batchId: v.optional(v.string()), limit: v.optional(v.number()) },
  returns: v.array(
    v.object({
      batchId: v.string(),
      groupKey: v.optional(v.string()),
      state: v.union(v.literal("idle"), v.literal("awake"), v.literal("paused")),
    }),
  ),
  handler: async (ctx, { batchId, limit = 100 }) => {
    const groups = await ctx.db
      .query("groups")
      .withIndex("by_batch_id", (q) => (batchId === undefined ? q : q.eq("batchId", batchId)))
      .take(Math.min(Math.max(Math.trunc(limit), 0), LIST_MAX));
    return groups.map(({ batchId: id, groupKey, state, paused }) => ({
      batchId: id,
      state: paused === true ? ("paused" as const) : state,
      ...(groupKey === undefined ? {} : { groupKey }),
    }));
  },
});

/** What is set at run time for a batch id. */
export const settings = query({
  args: { batchId: v.string() },
  returns: v.object({ paused: v.boolean(), override: v.any() }),
  handler: async (ctx, { batchId }) => {
    const found = await settingsOf(ctx, batchId);
    return { paused: found?.paused ?? false, override: found?.override ?? {} };
  },
});
