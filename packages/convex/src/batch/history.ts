/** How flushes ended. */
import type { Doc } from "./_generated/dataModel.js";
import type { MutationCtx } from "./_generated/server.js";
import { HISTORY_MAX, HISTORY_MS } from "./limits.js";

/**
 * Adds to the history, and forgets the oldest entry beyond those that are kept. The caller counts
 * the entry in the runner's row.
 */
export async function record(
  ctx: MutationCtx,
  { group, runner }: { readonly group: Doc<"groups">; readonly runner: Doc<"runners"> },
  flush: Doc<"flushes">,
  error: string | undefined,
): Promise<void> {
  const { batchId, groupKey, config } = group;
  const { entries } = runner;
  const now = Date.now();
  await ctx.db.insert("history", {
    batchId,
    itemCount: flush.count,
    flushedAt: now,
    durationMs: now - flush.startedAt,
    success: error === undefined,
    ...(groupKey === undefined ? {} : { groupKey }),
    ...(error === undefined ? {} : { errorMessage: error }),
    entry: entries,
    expiresAt: now + (config.historyTtl ?? HISTORY_MS),
  });
  const old = await ctx.db
    .query("history")
    .withIndex("by_entry", (q) =>
      q
        .eq("batchId", batchId)
        .eq("groupKey", groupKey)
        .eq("entry", entries - HISTORY_MAX),
    )
    .first();
  if (old !== null) await ctx.db.delete("history", old._id);
}
