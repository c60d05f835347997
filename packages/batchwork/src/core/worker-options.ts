/** The options of a worker that are data, checked and complete. */
import * as field from "./fields.ts";
import { invalidOption, orElse, readFields, type Spec } from "./fields.ts";
import { NAME_BYTES_MAX, RETRIES_MAX, WAIT_MS_MAX } from "./limits.ts";
import type { RetryPolicy } from "./retry.ts";

/** Options of `bw.worker(…)` that are data. */
export interface WorkerSettings {
  /**
   * Unique among the definitions of its engine. The same name is the same worker in every process
   * and after every restart. 1 to 128 characters: letters, digits and `_ . : -`. Required.
   */
  readonly name: string;
  /**
   * How long to wait after the ping that woke the worker before it looks, so that a burst becomes
   * one batch, ms. 0 to 365 days. Default 0.
   */
  readonly debounceMs?: number;
  /**
   * A look that takes longer than that is reported as a warning, ms. 10,000 to 365 days. Default
   * 60,000. A process that dies is replaced within the engine's `leaseMs`, whatever this says.
   */
  readonly monitorLagMs?: number;
  /**
   * Parts of the work, each with a loop of its own; they run side by side. Each 1 to 128
   * characters, at most 1,000. Default: one loop, without a partition.
   */
  readonly partitions?: readonly string[];
  /** Most partitions that run at a time in this process. Default: all of them. */
  readonly concurrency?: number;
  /**
   * What becomes of an item, or of a batch that is not an array, that `process` throws for. Once
   * out of attempts, it is a dead letter.
   */
  readonly retries?: WorkerRetries;
}

export interface WorkerRetries {
  /** Attempts after the first, 0 to 10,000. Default 3. */
  readonly max?: number;
  /** Wait before the first of them, ms; doubled for each further one. Default 1,000. */
  readonly baseDelay?: number;
  /** No wait is longer, ms. Default 30,000. */
  readonly maxDelay?: number;
}

/** A worker's options, complete. */
export interface ResolvedWorkerOptions {
  readonly name: string;
  readonly debounceMs: number;
  readonly monitorLagMs: number;
  /** `""` for a worker without partitions. */
  readonly partitions: readonly string[];
  readonly concurrency: number;
  readonly retries: RetryPolicy;
}

const PARTITIONS_MAX = 1000;
const MONITOR_LAG_DEFAULT_MS = 60_000;
const MONITOR_LAG_MIN_MS = 10_000;
const RETRIES_DEFAULT = 3;
const BASE_DELAY_DEFAULT_MS = 1000;
const MAX_DELAY_DEFAULT_MS = 30_000;

const { callable, group, name, whole } = field;

const ms = whole({ minimum: 0, maximum: WAIT_MS_MAX, unit: "ms" });

const PARTITIONS: field.Field<readonly string[]> = {
  expected:
    `an array of 1 to ${PARTITIONS_MAX} different strings of 1 to ${NAME_BYTES_MAX} characters, ` +
    "without control characters",
  accepts: (value) =>
    Array.isArray(value) &&
    value.length > 0 &&
    value.length <= PARTITIONS_MAX &&
    value.every(isPartition) &&
    new Set(value).size === value.length,
};

const RETRIES: Spec<Required<WorkerRetries>> = {
  max: orElse(whole({ minimum: 0, maximum: RETRIES_MAX, unit: "retries" }), RETRIES_DEFAULT),
  baseDelay: orElse(ms, BASE_DELAY_DEFAULT_MS),
  maxDelay: orElse(ms, MAX_DELAY_DEFAULT_MS),
};

interface WorkerFields {
  readonly name: string;
  readonly debounceMs: number;
  readonly monitorLagMs: number;
  readonly partitions: readonly string[] | undefined;
  readonly concurrency: number | undefined;
  readonly retries: Required<WorkerRetries>;
  readonly query: unknown;
  readonly process: unknown;
  readonly setAside: unknown;
}

const WORKER: Spec<WorkerFields> = {
  name: name(),
  debounceMs: orElse(ms, 0),
  monitorLagMs: orElse(
    whole({ minimum: MONITOR_LAG_MIN_MS, maximum: WAIT_MS_MAX, unit: "ms" }),
    MONITOR_LAG_DEFAULT_MS,
  ),
  partitions: orElse(PARTITIONS, undefined),
  concurrency: orElse(whole({ minimum: 1, maximum: PARTITIONS_MAX, unit: "loops" }), undefined),
  retries: group(RETRIES),
  query: callable(),
  process: callable(),
  setAside: orElse(callable(), undefined),
};

/** Throws `OPTION_INVALID`. */
export function resolveWorkerOptions(options: unknown): ResolvedWorkerOptions {
  const subject = "worker()";
  const { name, debounceMs, monitorLagMs, ...given } = readFields(subject, options, WORKER);
  const { max, baseDelay, maxDelay } = given.retries;
  if (baseDelay > maxDelay) {
    const problem = `must not be longer than retries.maxDelay (${maxDelay})`;
    throw invalidOption(subject, "retries.baseDelay", baseDelay, problem);
  }
  const partitions = given.partitions ?? [""];
  return {
    name,
    debounceMs,
    monitorLagMs,
    partitions,
    concurrency: given.concurrency ?? partitions.length,
    retries: { max, strategy: "exponential", baseDelay, maxDelay, jitter: 0 },
  };
}

function isPartition(value: unknown): boolean {
  return typeof value === "string" && /^\P{Cc}{1,128}$/u.test(value) && value.isWellFormed();
}
