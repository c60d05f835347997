/**
 * The one place where options are checked and completed. `settings.ts` says what they mean; those
 * that are functions are checked here too, and declared where they are called.
 */
import * as field from "./fields.ts";
import { invalidOption, orElse, readFields, type Spec } from "./fields.ts";
import {
  BATCH_ITEMS_MAX,
  CONCURRENCY_MAX,
  CRASHES_MAX,
  LEASE_MS_MAX,
  LEASE_MS_MIN,
  LOOK_MS_MAX,
  RETRIES_MAX,
  WAIT_MS_MAX,
} from "./limits.ts";
import type { RetryPolicy } from "./retry.ts";
import {
  completePending,
  maxPending,
  type MaxPending,
  type PendingFields,
} from "./pending-option.ts";
import { completeRemoval, removal, type RemoveOption } from "./retention-option.ts";
import type { Retention } from "./retention.ts";
import { standardSchema } from "./schema.ts";
import type { BatchSettings, EngineSettings } from "./settings.ts";
import { completeTarget, target, type TargetFields } from "./target-option.ts";
import { completeThrottle, throttle, type ThrottleFields } from "./throttle-option.ts";
import type { Throttle } from "./throttle.ts";

export type {
  BatchSettings,
  EngineSettings,
  PendingOptions,
  RetryOptions,
  TargetOptions,
  ThrottleOptions,
} from "./settings.ts";

/** An engine's options, complete. */
export type ResolvedEngineOptions = Readonly<Required<Omit<EngineSettings, "leaderElection">>>;

/** A definition's options, complete. */
export interface ResolvedBatchOptions {
  readonly name: string;
  readonly maxSize: number;
  readonly maxWaitMs: number;
  readonly maxBytes: number;
  /** `undefined` for batches of up to `maxSize` whatever they take. */
  readonly target: { readonly durationMs: number; readonly minSize: number } | undefined;
  /** `undefined` for no limit. */
  readonly throttle: Throttle | undefined;
  /** `undefined` for no limit. */
  readonly maxPending: MaxPending | undefined;
  /** `undefined` for the latest ones, without their items. */
  readonly removeOnComplete: Retention | undefined;
  /** `undefined` for all dead letters. */
  readonly removeOnFail: Retention | undefined;
  readonly version: number;
  /** `Infinity` without `groupBy`: there is one group, and `concurrency` alone limits it. */
  readonly groupConcurrency: number;
  readonly concurrency: number;
  readonly retries: RetryPolicy;
  readonly onFailure: "retry" | "bisect";
  /** `undefined` for no limit. */
  readonly timeout: number | undefined;
  readonly persist: boolean;
  /** `Infinity` for ever. */
  readonly keyTtlMs: number;
  /** `Infinity` for ever. */
  readonly resultTtlMs: number;
  readonly tags: readonly string[];
  /** Dead letters are stored in any case; this only says whether `onDead` is called for them. */
  readonly deadLetter: { readonly enabled: boolean };
}

const HEARTBEATS_PER_LEASE = 3;
const MAX_DELAY_DEFAULT_MS = 60 * 60 * 1000;
const KEY_TTL_DEFAULT_MS = 24 * 60 * 60 * 1000;
const RESULT_TTL_DEFAULT_MS = 24 * 60 * 60 * 1000;

const { callable, choice, flag, fraction, group, name, port, tags, whole } = field;

const waitMs = whole({ minimum: 0, maximum: WAIT_MS_MAX, unit: "ms" });
const lookMs = whole({ minimum: 10, maximum: LOOK_MS_MAX, unit: "ms" });
const handlers = whole({ minimum: 1, maximum: CONCURRENCY_MAX, unit: "handlers" });

const LOGGER = ["debug", "info", "warn", "error"];
const CLOCK = ["wallMs", "monotonicMs", "after", "soon", "random"];
const STORAGE = ["open", "close", "append", "exchange"];

/** Defaults that depend on another option are `undefined` here and filled in below. */
interface EngineFields extends Omit<ResolvedEngineOptions, "heartbeatMs"> {
  readonly heartbeatMs: number | undefined;
  readonly leaderElection: boolean | undefined;
  readonly storage: unknown;
  readonly logger: unknown;
  readonly clock: unknown;
}

const ENGINE: Spec<EngineFields> = {
  storage: port(STORAGE, "pass sqlite({ path }) or memory()"),
  concurrency: orElse(handlers, 5),
  leaseMs: orElse(whole({ minimum: LEASE_MS_MIN, maximum: LEASE_MS_MAX, unit: "ms" }), 15_000),
  heartbeatMs: orElse(whole({ minimum: 10, maximum: LEASE_MS_MAX / 2, unit: "ms" }), undefined),
  tickIntervalMs: orElse(lookMs, 1000),
  pollMs: orElse(whole({ minimum: 1, maximum: LOOK_MS_MAX, unit: "ms" }), 50),
  maxCrashes: orElse(whole({ minimum: 1, maximum: CRASHES_MAX, unit: "crashes" }), 3),
  leaderElection: orElse(flag(), undefined),
  logger: orElse(port(LOGGER, "leave it out for the console"), undefined),
  clock: orElse(port(CLOCK, "leave it out for the system's"), undefined),
};

interface RetryFields extends Omit<RetryPolicy, "maxDelay"> {
  readonly maxDelay: number | undefined;
}

const RETRIES: Spec<RetryFields> = {
  max: orElse(whole({ minimum: 0, maximum: RETRIES_MAX, unit: "retries" }), 0),
  strategy: orElse(choice("exponential", "fixed"), "exponential"),
  baseDelay: orElse(waitMs, 1000),
  maxDelay: orElse(waitMs, undefined),
  jitter: orElse(fraction(0, 1), 0),
};

const DEAD_LETTER: Spec<{ enabled: boolean; onDead: unknown }> = {
  enabled: orElse(flag(), false),
  onDead: orElse(callable(), undefined),
};

const HOOKS: Spec<Record<"beforeFlush" | "onSuccess" | "onFail", unknown>> = {
  beforeFlush: orElse(callable(), undefined),
  onSuccess: orElse(callable(), undefined),
  onFail: orElse(callable(), undefined),
};

type Adjusted =
  | "target"
  | "throttle"
  | "maxPending"
  | "removeOnComplete"
  | "removeOnFail"
  | "retries"
  | "deadLetter"
  | "concurrency"
  | "groupConcurrency";

interface BatchFields extends Omit<ResolvedBatchOptions, Adjusted> {
  readonly handler: unknown;
  readonly groupBy: unknown;
  readonly deduplicateBy: unknown;
  readonly schema: unknown;
  readonly hooks: unknown;
  readonly target: TargetFields;
  readonly throttle: ThrottleFields;
  readonly maxPending: PendingFields;
  readonly removeOnComplete: RemoveOption | undefined;
  readonly removeOnFail: RemoveOption | undefined;
  readonly minSize: number | undefined;
  readonly concurrency: number | undefined;
  readonly groupConcurrency: number | undefined;
  readonly retries: RetryFields;
  readonly deadLetter: { readonly enabled: boolean; readonly onDead: unknown };
}

const BATCH: Spec<BatchFields> = {
  name: name(),
  maxSize: whole({ minimum: 1, maximum: BATCH_ITEMS_MAX, unit: "items" }),
  maxWaitMs: waitMs,
  handler: callable(),
  maxBytes: orElse(
    whole({ minimum: 1, maximum: Number.MAX_SAFE_INTEGER, unit: "bytes", unlimited: true }),
    Number.POSITIVE_INFINITY,
  ),
  target,
  throttle,
  maxPending,
  removeOnComplete: removal,
  removeOnFail: removal,
  version: orElse(whole({ minimum: 1, maximum: Number.MAX_SAFE_INTEGER, unit: "version" }), 1),
  minSize: orElse(whole({ minimum: 1, maximum: BATCH_ITEMS_MAX, unit: "items" }), undefined),
  schema: standardSchema(),
  groupBy: orElse(callable(), undefined),
  deduplicateBy: orElse(callable(), undefined),
  groupConcurrency: orElse(
    whole({ minimum: 1, maximum: CONCURRENCY_MAX, unit: "batches of a group", unlimited: true }),
    undefined,
  ),
  concurrency: orElse(handlers, undefined),
  retries: group(RETRIES),
  onFailure: orElse(choice("retry", "bisect"), "retry"),
  deadLetter: group(DEAD_LETTER),
  hooks: group(HOOKS),
  timeout: orElse(whole({ minimum: 1, maximum: WAIT_MS_MAX, unit: "ms" }), undefined),
  persist: orElse(flag(), true),
  keyTtlMs: orElse(
    whole({ minimum: 0, maximum: WAIT_MS_MAX, unit: "ms", unlimited: true }),
    KEY_TTL_DEFAULT_MS,
  ),
  resultTtlMs: orElse(
    whole({ minimum: 0, maximum: WAIT_MS_MAX, unit: "ms", unlimited: true }),
    RESULT_TTL_DEFAULT_MS,
  ),
  tags: orElse(tags(), []),
};

/** An engine's options, checked and complete. Throws `OPTION_INVALID`. */
export function resolveEngineOptions(options: EngineSettings): ResolvedEngineOptions {
  const subject = "the engine";
  const fields = readFields(subject, options, ENGINE);
  const { concurrency, leaseMs, tickIntervalMs, pollMs, maxCrashes } = fields;
  const heartbeatMs = fields.heartbeatMs ?? Math.floor(leaseMs / HEARTBEATS_PER_LEASE);
  if (heartbeatMs > leaseMs / 2) {
    const problem = `must be at most half of leaseMs (${leaseMs} ms), not ${heartbeatMs}`;
    throw invalidOption(subject, "heartbeatMs", heartbeatMs, problem);
  }
  return Object.freeze({ concurrency, leaseMs, heartbeatMs, tickIntervalMs, pollMs, maxCrashes });
}

/**
 * A definition's options, checked and complete. Functions among them are checked and left where
 * they are. `deadLetter.enabled` without `onDead`, and the other way round, is legal: nothing is
 * called. Throws `OPTION_INVALID`.
 */
export function resolveBatchOptions(
  options: BatchSettings,
  engine: Pick<ResolvedEngineOptions, "concurrency">,
): ResolvedBatchOptions {
  const subject = subjectOf(options);
  const fields = readFields(subject, options, BATCH);
  return Object.freeze({
    name: fields.name,
    maxSize: fields.maxSize,
    maxWaitMs: fields.maxWaitMs,
    maxBytes: fields.maxBytes,
    target: completeTarget(subject, fields, options.target !== undefined),
    throttle: completeThrottle(subject, fields.throttle, options.throttle !== undefined),
    maxPending: completePending(subject, fields.maxPending, options.maxPending !== undefined),
    removeOnComplete: completeRemoval(fields.removeOnComplete),
    removeOnFail: completeRemoval(fields.removeOnFail),
    version: fields.version,
    groupConcurrency: completeGroupConcurrency(subject, fields),
    concurrency: fields.concurrency ?? engine.concurrency,
    retries: completeRetries(subject, fields.retries),
    onFailure: fields.onFailure,
    timeout: fields.timeout,
    persist: fields.persist,
    keyTtlMs: fields.keyTtlMs,
    resultTtlMs: fields.resultTtlMs,
    tags: fields.tags,
    deadLetter: Object.freeze({ enabled: fields.deadLetter.enabled }),
  });
}

function completeGroupConcurrency(subject: string, fields: BatchFields): number {
  const { groupBy, groupConcurrency } = fields;
  if (groupBy !== undefined) return groupConcurrency ?? 1;
  if (groupConcurrency === undefined) return Number.POSITIVE_INFINITY;
  const problem = "needs groupBy: without groups, use concurrency";
  throw invalidOption(subject, "groupConcurrency", groupConcurrency, problem);
}

function completeRetries(subject: string, retries: RetryFields): RetryPolicy {
  const { baseDelay } = retries;
  const maxDelay = retries.maxDelay ?? Math.max(MAX_DELAY_DEFAULT_MS, baseDelay);
  if (baseDelay > maxDelay) {
    const problem = `must be at most retries.maxDelay (${maxDelay} ms), not ${baseDelay}`;
    throw invalidOption(subject, "retries.baseDelay", baseDelay, problem);
  }
  return Object.freeze({ ...retries, maxDelay });
}

/** Whose options they are, as far as they say so. */
function subjectOf(options: unknown): string {
  const given: unknown =
    typeof options === "object" && options !== null && Reflect.get(options, "name");
  return typeof given === "string" && given.length > 0
    ? `batch ${JSON.stringify(given)}`
    : "a batch";
}
