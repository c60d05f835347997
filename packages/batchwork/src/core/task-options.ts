/** What a call of a pool says of its tasks, checked and completed. */
import { invalidOption, orElse, readFields, whole, type Field, type Spec } from "./fields.ts";
import { GROUP_KEY_CHARACTERS_MAX, PRIORITY_MAX, WAIT_MS_MAX } from "./limits.ts";
import type { ResolvedHandlerOptions } from "./pool-options.ts";
import type { TaskSettings } from "./pool-settings.ts";
import { completeRetry, retry } from "./retry-option.ts";

/** What a call says of its tasks. */
export interface ResolvedTaskOptions extends ResolvedHandlerOptions {
  /** `null` for at once. Wall time, ms since the epoch. */
  readonly runAt: number | null;
  readonly runAfter: number;
  readonly priority: number;
  /** `""` for none. */
  readonly serialKey: string;
}

const waitMs = whole({ minimum: 0, maximum: WAIT_MS_MAX, unit: "ms" });
const limitMs = whole({ minimum: 1, maximum: WAIT_MS_MAX, unit: "ms" });

interface TaskFields extends Omit<ResolvedTaskOptions, "retry" | "runAt" | "runAfter"> {
  readonly runAt: number | Date | undefined;
  readonly runAfter: number | undefined;
  readonly retry: unknown;
  readonly tx: unknown;
  readonly idempotencyKey: unknown;
  readonly context: unknown;
}

const anything: Field<unknown> = {
  expected: "anything",
  accepts: () => true,
  fallback: { value: undefined },
};

const TASK: Spec<TaskFields> = {
  runAt: {
    expected: "a time in ms since the epoch, or a Date",
    accepts: (value) => Number.isFinite(value instanceof Date ? value.getTime() : value),
    fallback: { value: undefined },
  },
  runAfter: orElse(waitMs, undefined),
  priority: orElse(whole({ minimum: -PRIORITY_MAX, maximum: PRIORITY_MAX, unit: "priority" }), 0),
  serialKey: {
    expected: `a well-formed string of 1 to ${GROUP_KEY_CHARACTERS_MAX} characters`,
    accepts: (value) =>
      typeof value === "string" &&
      value.length > 0 &&
      value.length <= GROUP_KEY_CHARACTERS_MAX &&
      value.isWellFormed(),
    fallback: { value: "" },
  },
  retry,
  timeout: orElse(limitMs, undefined),
  // Read where they are used.
  tx: anything,
  idempotencyKey: anything,
  context: anything,
};

/** What a call says of its tasks. Throws `OPTION_INVALID`. */
export function resolveTaskOptions(pool: string, options: TaskSettings): ResolvedTaskOptions {
  const subject = `a task of pool ${JSON.stringify(pool)}`;
  const fields = readFields(subject, options, TASK);
  const { runAt, runAfter, priority, serialKey, timeout } = fields;
  if (runAt !== undefined && runAfter !== undefined) {
    const problem = "cannot be given together with runAt: leave one of the two out";
    throw invalidOption(subject, "runAfter", runAfter, problem);
  }
  return {
    runAt: runAt === undefined ? null : Number(runAt),
    runAfter: runAfter ?? 0,
    priority,
    serialKey,
    timeout,
    retry: completeRetry(subject, fields.retry),
  };
}
