/** Options of the accumulator and the iterator: checked, completed, as components store them. */
import { createFunctionHandle } from "convex/server";
import { ConvexError } from "convex/values";
import type { ComponentApi } from "../batch/_generated/component.js";
import { checkOverride } from "../batch/check.js";
import { KEYED_ITEMS_MAX } from "../batch/limits.js";
import type { BatchConfig, IteratorConfig } from "./batch-contract.js";

type StoredConfig = ComponentApi["lib"]["addItems"]["_args"]["config"];

type StoredJob = ComponentApi["iterator"]["start"]["_args"]["config"];

/** How often a page is tried, and how long the next one waits, when nothing else is said. */
const MAX_RETRIES = 5;
const DELAY_MS = 100;

/** What of a job can be changed while it runs. */
export type JobOverride = Partial<
  Record<"batchSize" | "delayBetweenBatchesMs" | "maxRetries" | "maxBatchSize", number>
>;

/** Throws `OPTION_INVALID`. */
export function checkConfig<T>(config: BatchConfig<T>): void {
  throwAny(checkOverride(config));
  const { deduplicateBy, maxBatchSize = 0 } = config;
  if (deduplicateBy === undefined || maxBatchSize <= KEYED_ITEMS_MAX) return;
  const most = `at most ${KEYED_ITEMS_MAX} with deduplicateBy`;
  const message = `maxBatchSize must be ${most}, not ${maxBatchSize}.`;
  const [code, field] = ["OPTION_INVALID", "maxBatchSize"];
  throw new ConvexError({ code, field, value: String(maxBatchSize), message });
}

export async function storedOf<T>(config: BatchConfig<T>): Promise<StoredConfig> {
  const stored: StoredConfig & Partial<BatchConfig<T>> = {
    ...config,
    processBatch: await createFunctionHandle(config.processBatch),
  };
  const threshold = config.immediateFlushThreshold ?? config.maxBatchSize;
  if (threshold !== undefined) stored.threshold = threshold;
  // Functions stay here: what they say of an item goes with it.
  delete stored.groupBy;
  delete stored.deduplicateBy;
  delete stored.immediateFlushThreshold;
  return stored;
}

/** Throws `OPTION_INVALID`. */
export function checkJob({ batchSize, ...rest }: JobOverride): void {
  const { delayBetweenBatchesMs: flushIntervalMs, maxRetries: maxAttempts, maxBatchSize } = rest;
  // Under the names that the ranges have; said again in those that were given.
  const named = {
    batchSize: checkOverride({ maxBatchSize: batchSize }),
    maxBatchSize: checkOverride({ maxBatchSize }),
    delayBetweenBatchesMs: checkOverride({ flushIntervalMs }),
    maxRetries: checkOverride({ maxAttempts }),
  };
  for (const [field, problem] of Object.entries(named)) {
    throwAny(problem && { ...problem, field, message: renamed(problem, field) });
  }
}

/** Throws `OPTION_INVALID`. */
export async function storedJobOf(config: IteratorConfig): Promise<StoredJob> {
  checkJob(config);
  const { delayBetweenBatchesMs = DELAY_MS, maxRetries = MAX_RETRIES, onComplete } = config;
  const { batchSize, maxBatchSize, ttl } = config;
  const kept = checkOverride({ historyTtl: ttl });
  throwAny(kept && { ...kept, field: "ttl", message: renamed(kept, "ttl") });
  return {
    batchSize,
    delayBetweenBatchesMs,
    maxRetries,
    getNextBatch: await createFunctionHandle(config.getNextBatch),
    processBatch: await createFunctionHandle(config.processBatch),
    ...(onComplete ? { onComplete: await createFunctionHandle(onComplete) } : {}),
    ...(maxBatchSize === undefined ? {} : { maxBatchSize }),
    ...(ttl === undefined ? {} : { ttl }),
  };
}

type Problem = NonNullable<ReturnType<typeof checkOverride>>;

function renamed({ message, field }: Problem, name: string): string {
  return message.replace(field, name);
}

function throwAny(problem: Problem | null): void {
  if (problem !== null) throw new ConvexError(problem);
}
