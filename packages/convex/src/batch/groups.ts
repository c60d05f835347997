/** A group of a batch id, what waits in it, and the timer of its runner. */
import { watchDelayMs } from "../base/watch.js";
import { internal } from "./_generated/api.js";
import type { Doc, Id } from "./_generated/dataModel.js";
import type { MutationCtx, QueryCtx } from "./_generated/server.js";
import { freeKeys } from "./keys.js";
import { BATCH_BYTES_MAX, BATCH_ITEMS_MAX, HEADERS_MAX, KEYED_ITEMS_MAX } from "./limits.js";
import type { BatchConfig } from "./validators.js";

/** A batch id without a key is a group by itself. */
export function groupOf(
  ctx: QueryCtx,
  batchId: string,
  groupKey?: string,
): Promise<Doc<"groups"> | null> {
  return ctx.db
    .query("groups")
    .withIndex("by_batch_id", (q) => q.eq("batchId", batchId).eq("groupKey", groupKey))
    .unique();
}

/** The configuration that counts: what was set at run time wins over what code declared. */
export function inForce({ config, override }: Doc<"groups">): BatchConfig {
  return override === undefined ? config : { ...config, ...override };
}

/** When an item has waited long enough; `Infinity` for never. */
function dueAtOf({ addedAt, dueAt }: Doc<"headers">, { flushIntervalMs }: BatchConfig): number {
  // A call that filled a batch by itself.
  if (dueAt === addedAt) return addedAt;
  return flushIntervalMs > 0 ? addedAt + flushIntervalMs : Number.POSITIVE_INFINITY;
}

export function runnerOf(ctx: QueryCtx, group: Id<"groups">): Promise<Doc<"runners"> | null> {
  return ctx.db
    .query("runners")
    .withIndex("by_group", (q) => q.eq("group", group))
    .unique();
}

/** The flush that is next: parts of a batch come in its order, before anything newer. */
export function firstFlush(ctx: QueryCtx, group: Id<"groups">): Promise<Doc<"flushes"> | null> {
  return ctx.db
    .query("flushes")
    .withIndex("by_position", (q) => q.eq("group", group))
    .first();
}

/** What waits: the headers of the next batch, and whether it is time for it. */
interface Waiting {
  readonly headers: Doc<"headers">[];
  readonly items: number;
  readonly isDue: boolean;
  /** When it is, if nothing is added; `Infinity` for never. */
  readonly dueAt: number;
}

/**
 * Reads what waits, up to the caps of a batch. Where the platform can say up to when it sees, the
 * read ends there, so that an add that commits meanwhile does not make it run again.
 */
export async function look(
  ctx: QueryCtx,
  group: Doc<"groups">,
  runner: Doc<"runners">,
): Promise<Waiting> {
  const seen = snapshotOf(ctx);
  const rows = ctx.db
    .query("headers")
    .withIndex("by_inbox", (q) =>
      seen === null ? q.eq("group", group._id) : q.eq("group", group._id).lte("inbox", seen),
    );
  const config = inForce(group);
  const { threshold = Number.POSITIVE_INFINITY } = config;
  const most = Math.max(capOf(config), Number.isFinite(threshold) ? threshold : 0);
  const headers: Doc<"headers">[] = [];
  let items = 0;
  let dueAt = Number.POSITIVE_INFINITY;
  let isFlushed = false;
  for await (const header of rows) {
    headers.push(header);
    items += header.count - header.from;
    dueAt = Math.min(dueAt, dueAtOf(header, config));
    isFlushed ||= header.addedAt <= runner.flushedTo;
    if (items >= most || headers.length === HEADERS_MAX) break;
  }
  const isFull = items >= threshold || headers.length === HEADERS_MAX;
  const isDue = items > 0 && (isFull || isFlushed || dueAt <= Date.now());
  return { headers, items, isDue, dueAt };
}

/** Most items of one batch. */
function capOf({ maxBatchSize }: BatchConfig): number {
  return maxBatchSize ?? BATCH_ITEMS_MAX;
}

/** The commit timestamp up to which this transaction sees; `null` before Convex 1.47. */
function snapshotOf(ctx: QueryCtx): bigint | null {
  const meta: { getSnapshotTs?: () => bigint } = ctx.meta;
  return meta.getSnapshotTs?.() ?? null;
}

/** Seals the next batch: fixes its members, and takes them from what waits. */
export async function seal(
  ctx: MutationCtx,
  group: Doc<"groups">,
  headers: readonly Doc<"headers">[],
): Promise<Doc<"flushes">> {
  const cap = capOf(inForce(group));
  // The keys of a batch are given back one by one.
  const isKeyed = headers.some(({ keyed }) => keyed === true);
  const all = isKeyed ? Math.min(cap, KEYED_ITEMS_MAX) : cap;
  const room = { items: all, bytes: BATCH_BYTES_MAX };
  const members: Doc<"flushes">["members"] = [];
  for (const { _id, chunk, from, count, bytes, keyed } of headers) {
    const isFirst = room.items === all;
    if (room.items === 0 || (!isFirst && bytes > room.bytes)) break;
    const end = Math.min(count, from + room.items);
    members.push({ chunk, from, end, owns: end === count });
    room.items -= end - from;
    room.bytes -= bytes;
    if (keyed === true) await freeKeys(ctx, group._id, { chunk, from, end });
    if (end === count) await ctx.db.delete("headers", _id);
    else await ctx.db.patch("headers", _id, { from: end });
  }
  const now = Date.now();
  const id = await ctx.db.insert("flushes", {
    group: group._id,
    position: 0,
    members,
    count: all - room.items,
    attempts: 0,
    isPart: false,
    createdAt: now,
    startedAt: now,
    retryAt: 0,
  });
  return (await ctx.db.get("flushes", id)) as Doc<"flushes">;
}

/** The items of a flush, in order. */
export async function itemsOf(
  ctx: QueryCtx,
  { members }: Doc<"flushes">,
): Promise<Doc<"chunks">["items"]> {
  const items: Doc<"chunks">["items"] = [];
  for (const { chunk, from, end } of members) {
    const row = await ctx.db.get("chunks", chunk);
    items.push(...(row?.items.slice(from, end) ?? []));
  }
  return items;
}

/** A runner's row; its watch is `null` where the watch itself is what runs. */
type Armed = Omit<Doc<"runners">, "watch"> & {
  readonly watch?: Id<"_scheduled_functions"> | null;
};

/** Schedules a runner, instead of the one that was, and its watch. */
export async function arm(
  ctx: MutationCtx,
  runner: Armed,
  at: number,
  changes: Partial<Doc<"runners">> = {},
): Promise<void> {
  await disarm(ctx, runner);
  const token = runner.token + 1;
  const args = { group: runner.group, token };
  const runAt = Math.max(at, Date.now());
  const run = await ctx.scheduler.runAt(runAt, internal.runner.run, args);
  const watch = await ctx.scheduler.runAt(runAt + watchDelayMs(0), internal.watch.look, {
    ...args,
    look: 0,
  });
  await ctx.db.patch("runners", runner._id, {
    ...changes,
    state: "armed",
    token,
    run,
    runAt,
    watch,
  });
}

/** Cancels a runner that is not due, and its watch. One that is due may run, and is fenced. */
export async function disarm(ctx: MutationCtx, runner: Armed): Promise<void> {
  const { run, runAt, watch } = runner;
  if (run !== undefined && runAt > Date.now()) await ctx.scheduler.cancel(run);
  if (watch) await ctx.scheduler.cancel(watch);
}
