/** The one place where the options of a pool are checked and completed. */
import * as field from "./fields.ts";
import { group, invalidOption, orElse, readFields, type Spec } from "./fields.ts";
import { CONCURRENCY_MAX, PARALLELISM_MAX, TASKS_AT_ONCE_MAX, WAIT_MS_MAX } from "./limits.ts";
import { NO_RETRY, type TaskRetry } from "./pool-retry.ts";
import {
  completePending,
  maxPending,
  type MaxPending,
  type PendingFields,
} from "./pending-option.ts";
import type { PoolSettings } from "./pool-settings.ts";
import { completeRetry, retry } from "./retry-option.ts";
import { standardSchema } from "./schema.ts";
import { completeThrottle, throttle, type ThrottleFields } from "./throttle-option.ts";
import type { Throttle } from "./throttle.ts";

/** A pool's options, complete. */
export interface ResolvedPoolOptions {
  readonly name: string;
  readonly maxParallelism: number;
  readonly maxConcurrencyPerWorker: number;
  readonly maxBytesPerWorker: number;
  /** `undefined` for a share of what the heap may grow to. */
  readonly maxHeapMB: number | undefined;
  readonly maxLoopLagMs: number;
  readonly retry: TaskRetry;
  /** `undefined` for no limit. */
  readonly timeout: number | undefined;
  readonly concurrencyPerKey: number;
  /** `undefined` for no limit. */
  readonly throttle: Throttle | undefined;
  /** `undefined` for no limit. */
  readonly maxPending: MaxPending | undefined;
  readonly version: number;
  readonly ttl: number;
  readonly keyTtlMs: number;
  readonly persist: boolean;
  readonly tags: readonly string[];
  readonly deadLetter: { readonly enabled: boolean };
}

/** What a handler says for itself; `undefined` leaves it to the pool. */
export interface ResolvedHandlerOptions {
  readonly retry: TaskRetry | undefined;
  readonly timeout: number | undefined;
}

const DAY_MS = 24 * 60 * 60 * 1000;
const BYTES_DEFAULT = 64 * 1024 * 1024;
const LAG_MS_MAX = 60_000;

const { callable, flag, name, tags, whole } = field;

const limitMs = whole({ minimum: 1, maximum: WAIT_MS_MAX, unit: "ms" });
const keepMs = whole({ minimum: 0, maximum: WAIT_MS_MAX, unit: "ms", unlimited: true });

const parallelism = whole({ minimum: 0, maximum: PARALLELISM_MAX, unit: "tasks" });

const DEAD_LETTER: Spec<{ enabled: boolean; onDead: unknown }> = {
  enabled: orElse(flag(), false),
  onDead: orElse(callable(), undefined),
};

interface PoolFields extends Omit<
  ResolvedPoolOptions,
  "retry" | "throttle" | "maxPending" | "deadLetter"
> {
  readonly handlers: object;
  readonly retry: unknown;
  readonly throttle: ThrottleFields;
  readonly maxPending: PendingFields;
  readonly onComplete: unknown;
  readonly onCompleteBatch: unknown;
  readonly deadLetter: { readonly enabled: boolean; readonly onDead: unknown };
}

const POOL: Spec<PoolFields> = {
  name: name(),
  handlers: {
    expected: "an object of at least one handler",
    accepts: (value) =>
      typeof value === "object" && value !== null && Object.keys(value).length > 0,
  },
  maxParallelism: orElse(parallelism, 10),
  maxConcurrencyPerWorker: orElse(
    whole({ minimum: 1, maximum: TASKS_AT_ONCE_MAX, unit: "tasks" }),
    1000,
  ),
  maxBytesPerWorker: orElse(
    whole({ minimum: 1, maximum: Number.MAX_SAFE_INTEGER, unit: "bytes", unlimited: true }),
    BYTES_DEFAULT,
  ),
  maxHeapMB: orElse(
    whole({ minimum: 1, maximum: Number.MAX_SAFE_INTEGER, unit: "MB", unlimited: true }),
    undefined,
  ),
  maxLoopLagMs: orElse(
    whole({ minimum: 1, maximum: LAG_MS_MAX, unit: "ms", unlimited: true }),
    250,
  ),
  retry,
  timeout: orElse(limitMs, undefined),
  concurrencyPerKey: orElse(
    whole({ minimum: 1, maximum: CONCURRENCY_MAX, unit: "tasks of a key" }),
    1,
  ),
  throttle,
  maxPending,
  version: orElse(whole({ minimum: 1, maximum: Number.MAX_SAFE_INTEGER, unit: "version" }), 1),
  ttl: orElse(keepMs, DAY_MS),
  keyTtlMs: orElse(keepMs, DAY_MS),
  persist: orElse(flag(), true),
  tags: orElse(tags(), []),
  onComplete: orElse(callable(), undefined),
  onCompleteBatch: orElse(callable(), undefined),
  deadLetter: group(DEAD_LETTER),
};

interface HandlerFields {
  readonly handler: unknown;
  readonly schema: unknown;
  readonly retry: unknown;
  readonly timeout: number | undefined;
}

const HANDLER: Spec<HandlerFields> = {
  handler: callable(),
  schema: standardSchema(),
  retry,
  timeout: orElse(limitMs, undefined),
};

/** A pool's options, checked and complete. Throws `OPTION_INVALID`. */
export function resolvePoolOptions(
  options: PoolSettings & { readonly handlers: object },
): ResolvedPoolOptions {
  const subject = subjectOf(options);
  const fields = readFields(subject, options, POOL);
  if (fields.onComplete !== undefined && fields.onCompleteBatch !== undefined) {
    const problem = "cannot be given together with onComplete: leave one of the two out";
    throw invalidOption(subject, "onCompleteBatch", fields.onCompleteBatch, problem);
  }
  return Object.freeze({
    name: fields.name,
    maxParallelism: fields.maxParallelism,
    maxConcurrencyPerWorker: fields.maxConcurrencyPerWorker,
    maxBytesPerWorker: fields.maxBytesPerWorker,
    maxHeapMB: fields.maxHeapMB,
    maxLoopLagMs: fields.maxLoopLagMs,
    retry: completeRetry(subject, fields.retry) ?? NO_RETRY,
    timeout: fields.timeout,
    concurrencyPerKey: fields.concurrencyPerKey,
    throttle: completeThrottle(subject, fields.throttle, options.throttle !== undefined),
    maxPending: completePending(subject, fields.maxPending, options.maxPending !== undefined),
    version: fields.version,
    ttl: fields.ttl,
    keyTtlMs: fields.keyTtlMs,
    persist: fields.persist,
    tags: fields.tags,
    deadLetter: Object.freeze({ enabled: fields.deadLetter.enabled }),
  });
}

/** What one handler of a pool says for itself. Throws `OPTION_INVALID`. */
export function resolveHandlerOptions(
  pool: string,
  handler: string,
  options: unknown,
): ResolvedHandlerOptions {
  const subject = `handler ${JSON.stringify(handler)} of pool ${JSON.stringify(pool)}`;
  const fields = readFields(subject, options, HANDLER);
  return { retry: completeRetry(subject, fields.retry), timeout: fields.timeout };
}

/** What `config.update` is given. Throws `OPTION_INVALID`. */
export function checkParallelism(pool: string, value: unknown): asserts value is number {
  if (parallelism.accepts(value)) return;
  const problem = `must be ${parallelism.expected}, not ${String(value)}`;
  const subject = `pool ${JSON.stringify(pool)}`;
  throw invalidOption(subject, "maxParallelism", value, problem);
}

/** Whose options they are, as far as they say so. */
function subjectOf(options: unknown): string {
  const given: unknown =
    typeof options === "object" && options !== null && Reflect.get(options, "name");
  return typeof given === "string" && given.length > 0 ? `pool ${JSON.stringify(given)}` : "a pool";
}
