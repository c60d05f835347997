/** Checks of what callers pass: one problem, with its field, its value and what to do. */
import { INLINE_PARALLELISM_MAX, PARALLELISM_MAX } from "./limits.js";
import type { Config } from "./validators.js";

export interface Problem {
  readonly code: string;
  readonly field: string;
  readonly message: string;
  readonly [field: string]: string | number;
}

/** What is wrong with a configuration, or `null`. Handlers in the app's executor weigh less. */
export function checkConfig({ maxParallelism }: Config, isInline = false): Problem | null {
  if (maxParallelism === undefined) return null;
  const most = isInline ? INLINE_PARALLELISM_MAX : PARALLELISM_MAX;
  const isLegal = Number.isInteger(maxParallelism) && maxParallelism >= 0;
  if (isLegal && maxParallelism <= most) return null;
  const message =
    `maxParallelism must be a whole number from 0 to ${most}, not ${maxParallelism}. ` +
    "0 pauses the pool.";
  return { code: "OPTION_INVALID", field: "maxParallelism", value: maxParallelism, message };
}
