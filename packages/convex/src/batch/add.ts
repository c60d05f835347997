/** Storing items, and having them flushed. */
import { ConvexError, type Value } from "convex/values";
import { log } from "../base/log.js";
import { ITEM_BYTES_MAX, bytesOf, packChunks } from "../base/sizes.js";
import { internal } from "./_generated/api.js";
import type { Doc } from "./_generated/dataModel.js";
import { env, type MutationCtx } from "./_generated/server.js";
import { arm, groupOf, inForce, runnerOf } from "./groups.js";
import { takeKeys } from "./keys.js";
import { CHUNK_ITEMS_MAX, DECLARE_MS } from "./limits.js";
import { settingsOf } from "./settings.js";
import type { BatchConfig } from "./validators.js";

/** When an item that is added now has waited long enough; `undefined` for never. */
export function dueOf({ flushIntervalMs }: BatchConfig, now: number): number | undefined {
  return flushIntervalMs > 0 ? now + flushIntervalMs : undefined;
}

/** A group that was not known, with its runner, as the settings of its batch id want it. */
export async function create(
  ctx: MutationCtx,
  { batchId, groupKey }: { batchId: string; groupKey: string | undefined },
  config: BatchConfig,
): Promise<Doc<"groups">> {
  const settings = await settingsOf(ctx, batchId);
  const group = await ctx.db.insert("groups", {
    batchId,
    state: "idle",
    config,
    declaredAt: Date.now(),
    ...(groupKey === undefined ? {} : { groupKey }),
    ...(settings === null ? {} : { override: settings.override, paused: settings.paused }),
  });
  await ctx.db.insert("runners", {
    group,
    token: 0,
    state: "asleep",
    runAt: 0,
    flushedTo: 0,
    entries: 0,
    looks: 0,
  });
  return (await ctx.db.get("groups", group)) as Doc<"groups">;
}

interface Added {
  readonly items: readonly Value[];
  /** By place; absent where items have none. */
  readonly keys: readonly (string | null)[] | undefined;
  readonly config: BatchConfig;
  readonly isFull: boolean;
}

/** Inserts what a call added, and nothing else. Returns how many items were left out. */
export async function store(
  ctx: MutationCtx,
  group: Doc<"groups">,
  { config, isFull, ...all }: Added,
): Promise<number> {
  const { items, keys } =
    all.keys === undefined
      ? { items: all.items, keys: undefined }
      : await takeKeys(
          ctx,
          group._id,
          { items: all.items, keys: all.keys },
          config.deduplicateFor ?? 0,
        );
  const addedAt = Date.now();
  const dueAt = isFull ? addedAt : dueOf(config, addedAt);
  const sizes = items.map(sizeOf);
  for (const { from, end, bytes } of packChunks(sizes, CHUNK_ITEMS_MAX)) {
    const chunk = await ctx.db.insert("chunks", {
      items: items.slice(from, end),
      ...(keys === undefined ? {} : { keys: keys.slice(from, end) }),
    });
    await ctx.db.insert("headers", {
      group: group._id,
      chunk,
      from: 0,
      count: end - from,
      bytes,
      addedAt,
      ...(dueAt === undefined ? {} : { dueAt }),
      ...(keys === undefined ? {} : { keyed: true }),
      inbox: ctx.db.vars.commitTs,
    });
  }
  return all.items.length - items.length;
}

function sizeOf(item: Value, place: number): number {
  const bytes = bytesOf(item);
  if (bytes <= ITEM_BYTES_MAX) return bytes;
  const field = `items[${place}]`;
  const message = `Item ${place} has ${bytes} bytes; at most ${ITEM_BYTES_MAX} fit in a document.`;
  throw new ConvexError({ code: "ITEM_TOO_LARGE", field, value: bytes, message });
}

/** Wakes a group that sleeps: sets the timer of its runner. A group that is paused has none. */
export async function wake(
  ctx: MutationCtx,
  group: Doc<"groups">,
  dueAt: number | undefined,
  declared: { config?: BatchConfig; declaredAt?: number } = {},
): Promise<void> {
  const awake = { ...declared, state: "awake" as const, expiresAt: undefined };
  await ctx.db.patch("groups", group._id, awake);
  const runner = await runnerOf(ctx, group._id);
  if (runner === null) return;
  if (dueAt === undefined || group.paused === true) {
    await ctx.db.patch("runners", runner._id, { state: "armed" });
  } else await arm(ctx, runner, dueAt);
}

interface Given {
  readonly items: readonly Value[];
  readonly keys: readonly (string | null)[] | undefined;
}

/** Adds items to one group, and wakes it when it sleeps. */
export async function addTo(
  ctx: MutationCtx,
  id: { batchId: string; groupKey: string | undefined },
  config: BatchConfig,
  given: Given,
): Promise<number> {
  const known = await groupOf(ctx, id.batchId, id.groupKey);
  const group = known ?? (await create(ctx, id, config));
  const now = Date.now();
  const changed = JSON.stringify(group.config) !== JSON.stringify(config);
  // A group that is woken is written anyway. One that is awake takes over a change once a minute.
  const isTaken = changed && (group.state === "idle" || now - group.declaredAt >= DECLARE_MS);
  const declared = isTaken ? { config, declaredAt: now } : {};
  if (isTaken) {
    const [from, to] = [JSON.stringify(group.config), JSON.stringify(config)];
    log(env.LOG_LEVEL, "WARN", "batch.declared_anew", { batchId: id.batchId, from, to });
  }
  const current = inForce({ ...group, ...declared });
  const count = given.items.length;
  const isFull = count >= (current.threshold ?? Number.POSITIVE_INFINITY);
  const leftOut = await store(ctx, group, { ...given, config: current, isFull });
  if (leftOut === count) return leftOut;
  if (group.state === "idle") {
    await wake(ctx, group, isFull ? now : dueOf(current, now), declared);
    return leftOut;
  }
  if (isTaken) await ctx.db.patch("groups", group._id, declared);
  // Nobody counts. Of many small adds that fill a batch together, one in a batch looks.
  const share = count / (current.threshold ?? Number.POSITIVE_INFINITY);
  if (group.paused !== true && (isFull || Math.random() < share)) {
    await ctx.scheduler.runAfter(0, internal.watch.hurry, { group: group._id });
  }
  return leftOut;
}

/** What is thrown for an id that nothing was ever added to. */
export function unknown(batchId: string): Record<string, string> {
  const message = `Nothing was ever added to the batch "${batchId}".`;
  return { code: "BATCH_UNKNOWN", field: "batchId", value: batchId, message };
}
