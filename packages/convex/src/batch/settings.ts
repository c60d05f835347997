/** What was set at run time for a batch id, and how its groups learn of it. */
import { internal } from "./_generated/api.js";
import type { Doc } from "./_generated/dataModel.js";
import type { MutationCtx, QueryCtx } from "./_generated/server.js";
import { arm, runnerOf } from "./groups.js";
import { GROUPS_PAGE } from "./limits.js";
import type { Override } from "./validators.js";

export function settingsOf(ctx: QueryCtx, batchId: string): Promise<Doc<"settings"> | null> {
  return ctx.db
    .query("settings")
    .withIndex("by_batch_id", (q) => q.eq("batchId", batchId))
    .unique();
}

/** Stores settings and hands them to the groups that exist; new ones read them. */
export async function store(
  ctx: MutationCtx,
  batchId: string,
  { override, paused }: { override: Override; paused: boolean },
): Promise<void> {
  const settings = await settingsOf(ctx, batchId);
  if (settings === null) await ctx.db.insert("settings", { batchId, override, paused });
  else await ctx.db.patch("settings", settings._id, { override, paused });
  await spread(ctx, batchId, undefined);
}

/** Hands the settings to some groups, and leaves the rest to the next transaction. */
export async function spread(
  ctx: MutationCtx,
  batchId: string,
  after: string | undefined,
): Promise<void> {
  const settings = await settingsOf(ctx, batchId);
  const groups = await pageOf(ctx, batchId, after);
  for (const group of groups) {
    const { override = {}, paused = false } = settings ?? {};
    await ctx.db.patch("groups", group._id, { override, paused });
    if (group.state === "awake" && !paused) await restart(ctx, group);
  }
  const last = groups.at(-1)?.groupKey;
  if (groups.length === GROUPS_PAGE && last !== undefined) {
    await ctx.scheduler.runAfter(0, internal.config.next, { batchId, after: last });
  }
}

/** Groups of a batch id, by their keys: the one without comes first. */
export function pageOf(
  ctx: QueryCtx,
  batchId: string,
  after: string | undefined,
  most: number = GROUPS_PAGE,
): Promise<Doc<"groups">[]> {
  return ctx.db
    .query("groups")
    .withIndex("by_batch_id", (q) =>
      after === undefined
        ? q.eq("batchId", batchId)
        : q.eq("batchId", batchId).gt("groupKey", after),
    )
    .take(most);
}

/** Has the runner look at what waits as it is now. One that runs does so anyway. */
async function restart(ctx: MutationCtx, group: Doc<"groups">): Promise<void> {
  const runner = await runnerOf(ctx, group._id);
  if (runner !== null && runner.state !== "running") await arm(ctx, runner, 0);
}
