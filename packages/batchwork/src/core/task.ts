/** A task as it is stored, and what becomes of it after an attempt. */
import { storedError, type StoredError } from "./errors.ts";
import { isNonRetryable } from "./non-retryable.ts";
import { backoffMs, type TaskRetry } from "./pool-retry.ts";

/** A task as it is encoded. What a call did not say is left out, so that most tasks are small. */
export interface StoredTask {
  /** Name of the handler. */
  readonly name: string;
  /** Its arguments; left out where there are none. */
  readonly args?: unknown;
  /** The `retry` of the call. */
  readonly retry?: TaskRetry;
  /** The `timeout` of the call, ms. */
  readonly timeout?: number;
  /** For `onComplete`. */
  readonly context?: unknown;
}

/** How a task ended, as the caller sees it. */
export type TaskResult<R = unknown> =
  | { readonly kind: "success"; readonly returnValue: R }
  | { readonly kind: "failed"; readonly error: StoredError }
  | { readonly kind: "canceled" };

/** What becomes of a task after an attempt. */
export type TaskVerdict =
  | { readonly kind: "done" }
  | {
      readonly kind: "again";
      readonly attempt: number;
      readonly delayMs: number;
      readonly error: StoredError;
    }
  | { readonly kind: "dead"; readonly error: StoredError };

/** After a throw in attempt `attempt` (1 is the first). `random` is in [0, 1). */
export function afterThrow(
  thrown: unknown,
  attempt: number,
  retry: TaskRetry,
  random: number,
): TaskVerdict {
  const error = storedError(thrown);
  if (attempt >= retry.maxAttempts || isNonRetryable(thrown)) return { kind: "dead", error };
  return { kind: "again", attempt: attempt + 1, delayMs: backoffMs(retry, attempt, random), error };
}
