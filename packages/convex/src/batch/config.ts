/** What callers reach: configuration at run time, without a deploy. */
import { ConvexError, v } from "convex/values";
import { internalMutation, mutation } from "./_generated/server.js";
import { checkOverride } from "./check.js";
import { settingsOf, spread, store } from "./settings.js";
import type { Override } from "./validators.js";

/** A value wins over every declaration in code; `null` takes that back; what is absent stays. */
const optional = v.optional(v.union(v.number(), v.null()));

/**
 * Stores what wins over every declaration in code, for all groups of a batch id: also for those
 * that are not known yet. What waits is looked at again at once. Throws `OPTION_INVALID`.
 */
export const update = mutation({
  args: {
    batchId: v.string(),
    flushIntervalMs: optional,
    maxBatchSize: optional,
    immediateFlushThreshold: optional,
    maxAttempts: optional,
    backoff: v.optional(
      v.union(v.object({ baseDelay: v.number(), maxDelay: v.number() }), v.null()),
    ),
    throttle: v.optional(v.union(v.object({ max: v.number(), duration: v.number() }), v.null())),
  },
  returns: v.null(),
  handler: async (ctx, { batchId, immediateFlushThreshold, ...given }) => {
    const problem = checkOverride({ immediateFlushThreshold, ...given });
    if (problem !== null) throw new ConvexError(problem);
    const settings = await settingsOf(ctx, batchId);
    // As in code: a maximum is a threshold too, unless there is one beside it.
    const threshold = immediateFlushThreshold ?? given.maxBatchSize;
    const changes = { ...given, ...(threshold === undefined ? {} : { threshold }) };
    const merged = Object.entries({ ...settings?.override, ...changes });
    const override = Object.fromEntries(merged.filter(([, value]) => value !== null)) as Override;
    await store(ctx, batchId, { override, paused: settings?.paused ?? false });
    return null;
  },
});

/** Stops flushing a batch id, all of its groups. Items are taken as before, and wait. */
export const pause = mutation({
  args: { batchId: v.string() },
  returns: v.null(),
  handler: async (ctx, { batchId }) => {
    const override = (await settingsOf(ctx, batchId))?.override ?? {};
    await store(ctx, batchId, { override, paused: true });
    return null;
  },
});

/** Flushes a batch id again. */
export const resume = mutation({
  args: { batchId: v.string() },
  returns: v.null(),
  handler: async (ctx, { batchId }) => {
    const settings = await settingsOf(ctx, batchId);
    if (settings !== null) await store(ctx, batchId, { ...settings, paused: false });
    return null;
  },
});

/** The next groups that settings are handed to. */
export const next = internalMutation({
  args: { batchId: v.string(), after: v.string() },
  returns: v.null(),
  handler: async (ctx, { batchId, after }) => {
    await spread(ctx, batchId, after);
    return null;
  },
});
