/**
 * Every option that is data: what it means, its unit, range and default, and the one place where it
 * is checked. Options that are functions are checked here too, and declared where they are called.
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

/** Options of an engine that are data. */
export interface EngineSettings {
  /**
   * Handlers that run at a time in this process, for each definition that does not say otherwise.
   * 1 to 1,000. Default 5, as OqronKit's `concurrency`.
   */
  readonly concurrency?: number;
  /**
   * How long a batch stays with a process that no longer answers, ms. After that another process
   * takes it over. 100 to 86,400,000 (one day). Default 15,000.
   */
  readonly leaseMs?: number;
  /**
   * How often a process says that it is alive, ms. 10 to half of `leaseMs`, so that one lost beat
   * loses no lease. Default a third of `leaseMs`: 5,000.
   */
  readonly heartbeatMs?: number;
  /**
   * At most this long without a look at the storage, ms. A backstop: work is normally noticed at
   * once. 10 to 3,600,000 (one hour). Default 1,000, as OqronKit's `tickIntervalMs`.
   */
  readonly tickIntervalMs?: number;
  /**
   * How often the storage is asked whether another process wrote to it, ms; one call of a few
   * microseconds. 1 to 3,600,000 (one hour). Default 50.
   */
  readonly pollMs?: number;
  /**
   * A batch that was running alone in its process when that died, this many times, is dead: its
   * items become dead letters (`CRASHED`). 1 to 100. Default 3.
   */
  readonly maxCrashes?: number;
}

/** Options of a definition that are data. */
export interface BatchSettings {
  /**
   * Unique in its engine. The same name is the same batch in every process and after every restart.
   * 1 to 128 characters: letters, digits and `_ . : -`. Required.
   */
  readonly name: string;
  /**
   * Most items in a batch, 1 to 100,000. Handed over at once when so many wait. As OqronKit's
   * `maxSize`, but a cap as well: no batch ever has more. Required.
   */
  readonly maxSize: number;
  /**
   * How long the oldest item waits for a batch to fill before it is handed over all the same, ms. 0
   * to 31,536,000,000 (365 days); 0 hands over what is there. Required.
   */
  readonly maxWaitMs: number;
  /**
   * Most bytes in a batch (its items as UTF-8 text), 1 or more. Handed over at once when so many
   * wait; a single item may not have more. Default `Infinity`: no cap.
   */
  readonly maxBytes?: number;
  /**
   * Batches of one group that run at a time, over all processes. 1 to 1,000, or `Infinity` for no
   * limit. Only with `groupBy`. Default 1, which keeps each group in order.
   */
  readonly groupConcurrency?: number;
  /** Handlers of this batch that run at a time in this process. 1 to 1,000. Default the engine's. */
  readonly concurrency?: number;
  /** When and how often failed items are tried again. Default: never. */
  readonly retries?: RetryOptions;
  /**
   * What a throw means that names no item with `ctx.fail`. `"retry"`: all items failed. `"bisect"`:
   * the batch is cut in two, at once and without using up attempts, until the items that cause it are
   * alone. Default `"retry"`.
   */
  readonly onFailure?: "retry" | "bisect";
  /**
   * How long a handler may run, ms; then `ctx.signal` aborts and the attempt has failed
   * (`HANDLER_TIMEOUT`). 1 to 31,536,000,000 (365 days). Default: no limit.
   */
  readonly timeout?: number;
  /**
   * True keeps items in the engine's storage. False keeps them in this process's memory: faster, and
   * gone when the process dies. Default true.
   */
  readonly persist?: boolean;
  /** Words to find the definition by. At most 64 of 1 to 128 characters. Default none. */
  readonly tags?: readonly string[];
}

/** When and how often failed items are tried again. */
export interface RetryOptions {
  /** Retries after the first attempt, 0 to 10,000. Default 0, as OqronKit's. */
  readonly max?: number;
  /**
   * `"exponential"` doubles `baseDelay` with every attempt, `"fixed"` does not. Default
   * `"exponential"`.
   */
  readonly strategy?: "exponential" | "fixed";
  /** Delay before the first retry, ms. 0 to 31,536,000,000 (365 days). Default 1,000. */
  readonly baseDelay?: number;
  /**
   * No delay is longer than this, ms. `baseDelay` to 31,536,000,000 (365 days). Default 3,600,000
   * (one hour), or `baseDelay` where that is longer.
   */
  readonly maxDelay?: number;
  /**
   * Share of each delay that is taken off at random, so that failures of one moment do not come back
   * in one moment. 0 to 1. Default 0.
   */
  readonly jitter?: number;
}

/** An engine's options, complete. */
export type ResolvedEngineOptions = Readonly<Required<EngineSettings>>;

/** A definition's options, complete. */
export interface ResolvedBatchOptions {
  readonly name: string;
  readonly maxSize: number;
  readonly maxWaitMs: number;
  readonly maxBytes: number;
  /** `Infinity` without `groupBy`: there is one group, and `concurrency` alone limits it. */
  readonly groupConcurrency: number;
  readonly concurrency: number;
  readonly retries: RetryPolicy;
  readonly onFailure: "retry" | "bisect";
  /** `undefined` for no limit. */
  readonly timeout: number | undefined;
  readonly persist: boolean;
  readonly tags: readonly string[];
  /** Dead letters are stored in any case; this only says whether `onDead` is called for them. */
  readonly deadLetter: { readonly enabled: boolean };
}

const HEARTBEATS_PER_LEASE = 3;
const MAX_DELAY_DEFAULT_MS = 60 * 60 * 1000;

const { callable, choice, flag, fraction, group, name, port, tags, whole } = field;

const waitMs = whole({ minimum: 0, maximum: WAIT_MS_MAX, unit: "ms" });
const lookMs = whole({ minimum: 10, maximum: LOOK_MS_MAX, unit: "ms" });
const handlers = whole({ minimum: 1, maximum: CONCURRENCY_MAX, unit: "handlers" });

const LOGGER_METHODS = ["debug", "info", "warn", "error"];
const CLOCK_METHODS = ["wallMs", "monotonicMs", "after", "soon", "random"];
const STORAGE_METHODS = ["open", "close", "append", "exchange"];

/** Defaults that depend on another option are `undefined` here and filled in below. */
interface EngineFields extends Omit<ResolvedEngineOptions, "heartbeatMs"> {
  readonly heartbeatMs: number | undefined;
  readonly storage: unknown;
  readonly logger: unknown;
  readonly clock: unknown;
}

const ENGINE: Spec<EngineFields> = {
  storage: port(STORAGE_METHODS, "pass sqlite({ path }) or memory()"),
  concurrency: orElse(handlers, 5),
  leaseMs: orElse(whole({ minimum: LEASE_MS_MIN, maximum: LEASE_MS_MAX, unit: "ms" }), 15_000),
  heartbeatMs: orElse(whole({ minimum: 10, maximum: LEASE_MS_MAX / 2, unit: "ms" }), undefined),
  tickIntervalMs: orElse(lookMs, 1000),
  pollMs: orElse(whole({ minimum: 1, maximum: LOOK_MS_MAX, unit: "ms" }), 50),
  maxCrashes: orElse(whole({ minimum: 1, maximum: CRASHES_MAX, unit: "crashes" }), 3),
  logger: orElse(port(LOGGER_METHODS, "leave it out for the console"), undefined),
  clock: orElse(port(CLOCK_METHODS, "leave it out for the system's"), undefined),
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

interface DeadLetterFields {
  readonly enabled: boolean;
  readonly onDead: unknown;
}

const DEAD_LETTER: Spec<DeadLetterFields> = {
  enabled: orElse(flag(), false),
  onDead: orElse(callable(), undefined),
};

type Adjusted = "retries" | "deadLetter" | "concurrency" | "groupConcurrency";

interface BatchFields extends Omit<ResolvedBatchOptions, Adjusted> {
  readonly handler: unknown;
  readonly groupBy: unknown;
  readonly concurrency: number | undefined;
  readonly groupConcurrency: number | undefined;
  readonly retries: RetryFields;
  readonly deadLetter: DeadLetterFields;
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
  groupBy: orElse(callable(), undefined),
  groupConcurrency: orElse(
    whole({ minimum: 1, maximum: CONCURRENCY_MAX, unit: "batches of a group", unlimited: true }),
    undefined,
  ),
  concurrency: orElse(handlers, undefined),
  retries: group(RETRIES),
  onFailure: orElse(choice("retry", "bisect"), "retry"),
  deadLetter: group(DEAD_LETTER),
  timeout: orElse(whole({ minimum: 1, maximum: WAIT_MS_MAX, unit: "ms" }), undefined),
  persist: orElse(flag(), true),
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
 * A definition's options, checked and complete. Functions among them are checked and left where they
 * are. `deadLetter.enabled` without `onDead`, and the other way round, is legal: nothing is called.
 * Throws `OPTION_INVALID`.
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
    groupConcurrency: completeGroupConcurrency(subject, fields),
    concurrency: fields.concurrency ?? engine.concurrency,
    retries: completeRetries(subject, fields.retries),
    onFailure: fields.onFailure,
    timeout: fields.timeout,
    persist: fields.persist,
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
