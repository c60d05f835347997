/** The option that says how tasks are tried again, checked and completed. */
import {
  fraction,
  group,
  invalidOption,
  orElse,
  readFields,
  whole,
  type Field,
  type Spec,
} from "./fields.ts";
import { RETRIES_MAX, WAIT_MS_MAX } from "./limits.ts";
import { NO_RETRY, type TaskRetry } from "./pool-retry.ts";

const HOUR_MS = 60 * 60 * 1000;

const waitMs = whole({ minimum: 0, maximum: WAIT_MS_MAX, unit: "ms" });

interface RetryFields extends Omit<TaskRetry, "maxBackoffMs"> {
  readonly maxBackoffMs: number | undefined;
}

const RETRY: Spec<RetryFields> = {
  maxAttempts: orElse(whole({ minimum: 1, maximum: RETRIES_MAX + 1, unit: "attempts" }), 5),
  initialBackoffMs: orElse(waitMs, 250),
  base: orElse(fraction(1, 100), 2),
  maxBackoffMs: orElse(waitMs, undefined),
};

/** `true`, `false`, or an object; which is read by {@link completeRetry}. */
export const retry: Field<unknown> = {
  expected: "true, false or an object { maxAttempts, initialBackoffMs, base }",
  accepts: (value) => typeof value === "boolean" || group(RETRY).accepts(value),
  fallback: { value: undefined },
};

/** `undefined` where nothing is said. */
export function completeRetry(subject: string, given: unknown): TaskRetry | undefined {
  if (given === undefined) return undefined;
  if (given === false) return NO_RETRY;
  const fields = readFields(subject, given === true ? {} : given, RETRY, "retry.");
  const { initialBackoffMs } = fields;
  const maxBackoffMs = fields.maxBackoffMs ?? Math.max(HOUR_MS, initialBackoffMs);
  if (initialBackoffMs > maxBackoffMs) {
    const problem = `must be at most retry.maxBackoffMs (${maxBackoffMs} ms)`;
    throw invalidOption(subject, "retry.initialBackoffMs", initialBackoffMs, problem);
  }
  return Object.freeze({ ...fields, maxBackoffMs });
}
