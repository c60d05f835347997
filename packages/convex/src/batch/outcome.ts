/** What becomes of a batch: its items are done, come again, are parted, or are dead letters. */
import { log } from "../base/log.js";
import { halves } from "../core/bisect.js";
import { retryDelayMs, type RetryPolicy } from "../core/retry.js";
import type { Doc } from "./_generated/dataModel.js";
import { env, type MutationCtx } from "./_generated/server.js";
import { inForce, itemsOf } from "./groups.js";
import { BACKOFF } from "./limits.js";
import type { BatchConfig, ItemFailure } from "./validators.js";

type Flush = Doc<"flushes">;

type Members = Flush["members"];

/** The items are done. */
export async function finish(ctx: MutationCtx, flush: Flush): Promise<void> {
  await release(ctx, flush, []);
  await ctx.db.delete("flushes", flush._id);
}

/**
 * A batch that failed keeps its members and comes again, later each time. With `maxAttempts`, it is
 * halved when they are used up, until the items that fail stand alone; those are dead letters.
 */
export async function fail(
  ctx: MutationCtx,
  group: Doc<"groups">,
  flush: Flush,
  error: string,
): Promise<void> {
  const attempts = flush.attempts + 1;
  const { batchId } = group;
  log(env.LOG_LEVEL, "WARN", "batch.failed", { batchId, attempts, items: flush.count, error });
  const config = inForce(group);
  if (!isLast(flush, config)) {
    const retryAt = Date.now() + delayOf(config, attempts);
    await ctx.db.patch("flushes", flush._id, { attempts, retryAt });
  } else if (flush.count > 1) await halve(ctx, flush);
  else {
    await bury(ctx, group, flush, [{ index: 0, error }]);
    await finish(ctx, flush);
  }
}

/**
 * The items that are named failed, all others are done. Those that failed are a batch of their own
 * from here on, and dead letters when the attempts are used up.
 */
export async function failItems(
  ctx: MutationCtx,
  group: Doc<"groups">,
  flush: Flush,
  failed: readonly ItemFailure[],
): Promise<void> {
  const attempts = flush.attempts + 1;
  const { batchId } = group;
  const [first] = failed;
  const error = first?.error ?? "";
  log(env.LOG_LEVEL, "WARN", "batch.items_failed", {
    batchId,
    attempts,
    items: failed.length,
    error,
  });
  const config = inForce(group);
  if (isLast(flush, config)) {
    await bury(ctx, group, flush, failed);
    await finish(ctx, flush);
    return;
  }
  const rest = failed.flatMap(({ index }) => membersOf(flush, index, index + 1));
  const members = await release(ctx, flush, joined(rest));
  const retryAt = Date.now() + delayOf(config, attempts);
  const { _id: id } = flush;
  await ctx.db.patch("flushes", id, { members, count: failed.length, attempts, retryAt });
}

/** Whether there is no other attempt of the batch as it is. */
function isLast(flush: Flush, { maxAttempts = Number.POSITIVE_INFINITY }: BatchConfig): boolean {
  return flush.isPart || flush.attempts + 1 >= maxAttempts;
}

function delayOf({ backoff }: BatchConfig, attempts: number): number {
  const policy: RetryPolicy = backoff === undefined ? BACKOFF : { ...BACKOFF, ...backoff };
  return retryDelayMs(policy, attempts, 0);
}

/** Items become dead letters. */
async function bury(
  ctx: MutationCtx,
  group: Doc<"groups">,
  flush: Flush,
  failed: readonly ItemFailure[],
): Promise<void> {
  const { _id, batchId, groupKey, config } = group;
  const items = await itemsOf(ctx, flush);
  const at = Date.now();
  const { deadLetterTtl: keptMs } = config;
  for (const { index, error } of failed) {
    const item = items[index];
    if (item === undefined) continue;
    await ctx.db.insert("dead", {
      group: _id,
      batchId,
      item,
      error,
      at,
      config,
      ...(groupKey === undefined ? {} : { groupKey }),
      ...(keptMs === undefined ? {} : { expiresAt: at + keptMs }),
    });
  }
  const [first] = failed;
  const error = first?.error ?? "";
  log(env.LOG_LEVEL, "ERROR", "batch.dead_letter", { batchId, items: failed.length, error });
}

async function halve(ctx: MutationCtx, flush: Flush): Promise<void> {
  await ctx.db.delete("flushes", flush._id);
  let offset = 0;
  for (const half of halves(flush.count)) {
    const members = membersOf(flush, offset, offset + half.length);
    const { group, attempts, createdAt, startedAt } = flush;
    await ctx.db.insert("flushes", {
      group,
      position: flush.position + offset,
      members,
      count: half.length,
      attempts,
      isPart: true,
      createdAt,
      startedAt,
      retryAt: 0,
    });
    offset += half.length;
  }
}

/** The members of the items from one place in the flush to another. */
function membersOf(flush: Flush, first: number, last: number): Members {
  const members: Members = [];
  let place = 0;
  for (const { chunk, from, end, owns } of flush.members) {
    const start = Math.max(from, from + first - place);
    const stop = Math.min(end, from + last - place);
    if (start < stop) {
      // Parts of a batch settle in its order: the chunk goes with the last.
      const owned = stop === end ? owns : false;
      members.push({
        chunk,
        from: start,
        end: stop,
        ...(owned === undefined ? {} : { owns: owned }),
      });
    }
    place += end - from;
  }
  return members;
}

/** Neighbours in one chunk as one member. */
function joined(members: Members): Members {
  const found: Members = [];
  for (const member of members) {
    const last = found.at(-1);
    if (last?.chunk === member.chunk && last.end === member.from) {
      found[found.length - 1] = { ...member, from: last.from };
    } else found.push(member);
  }
  return found;
}

/** Deletes the chunks that go with the flush, but for those that `kept` needs: it owns them. */
async function release(ctx: MutationCtx, flush: Flush, kept: Members): Promise<Members> {
  const members = [...kept];
  for (const { chunk, end, owns } of flush.members) {
    if (owns === false) continue;
    const last = members.findLastIndex((one) => one.chunk === chunk);
    const row = owns === true && last >= 0 ? null : await ctx.db.get("chunks", chunk);
    // A row of an earlier version does not say: it owns the chunk that it ends.
    const isOwner = owns ?? end === row?.items.length;
    if (!isOwner) continue;
    const member = members[last];
    if (member !== undefined) members[last] = { ...member, owns: true };
    else if (row !== null) await ctx.db.delete("chunks", chunk);
  }
  return members;
}
