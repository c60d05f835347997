/** Storing items, and having them flushed. */
import { ConvexError } from "convex/values";
import { ITEM_BYTES_MAX, bytesOf, packChunks } from "../base/sizes.js";
import type { Doc } from "./_generated/dataModel.js";
import type { MutationCtx } from "./_generated/server.js";
import { arm, runnerOf } from "./groups.js";
import { CHUNK_ITEMS_MAX } from "./limits.js";
import type { BatchConfig } from "./validators.js";

/** When an item that is added now has waited long enough; `undefined` for never. */
export function dueOf({ flushIntervalMs }: BatchConfig, now: number): number | undefined {
  return flushIntervalMs > 0 ? now + flushIntervalMs : undefined;
}

export async function create(
  ctx: MutationCtx,
  batchId: string,
  config: BatchConfig,
): Promise<Doc<"groups">> {
  const row = { batchId, state: "idle" as const, config, declaredAt: Date.now() };
  const group = await ctx.db.insert("groups", row);
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
  readonly items: Doc<"chunks">["items"];
  readonly config: BatchConfig;
  readonly isFull: boolean;
}

/** Inserts what a call added, and nothing else. */
export async function store(
  ctx: MutationCtx,
  group: Doc<"groups">,
  { items, config, isFull }: Added,
): Promise<void> {
  const addedAt = Date.now();
  const dueAt = isFull ? addedAt : dueOf(config, addedAt);
  const sizes = items.map((item, i) => {
    const bytes = bytesOf(item);
    if (bytes <= ITEM_BYTES_MAX) return bytes;
    const message = `Item ${i} has ${bytes} bytes; at most ${ITEM_BYTES_MAX} fit in a document.`;
    throw new ConvexError({ code: "ITEM_TOO_LARGE", field: `items[${i}]`, value: bytes, message });
  });
  for (const { from, end, bytes } of packChunks(sizes, CHUNK_ITEMS_MAX)) {
    const chunk = await ctx.db.insert("chunks", { items: items.slice(from, end) });
    await ctx.db.insert("headers", {
      group: group._id,
      chunk,
      from: 0,
      count: end - from,
      bytes,
      addedAt,
      ...(dueAt === undefined ? {} : { dueAt }),
      inbox: ctx.db.vars.commitTs,
    });
  }
}

/** Sets the timer of a runner that sleeps. */
export async function start(
  ctx: MutationCtx,
  group: Doc<"groups">,
  dueAt: number | undefined,
): Promise<void> {
  const runner = await runnerOf(ctx, group._id);
  if (runner === null) return;
  if (dueAt === undefined) await ctx.db.patch("runners", runner._id, { state: "armed" });
  else await arm(ctx, runner, dueAt);
}

/** What is thrown for an id that nothing was ever added to. */
export function unknown(batchId: string): Record<string, string> {
  const message = `Nothing was ever added to the batch "${batchId}".`;
  return { code: "BATCH_UNKNOWN", field: "batchId", value: batchId, message };
}
