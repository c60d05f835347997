/** Checks of what callers pass: one problem, with its field, its value and what to do. */
import {
  INLINE_PARALLELISM_MAX,
  PARALLELISM_MAX,
  THROTTLE_ITEMS_MAX,
  THROTTLE_MS_MAX,
} from "./limits.js";
import type { Config, PoolConfig, Throttle } from "./validators.js";

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
  return checkWhole("maxParallelism", maxParallelism, [0, most], " 0 pauses the pool.");
}

/** What is wrong with the declarations of pools, or `null`. */
export function checkPools(
  pools: readonly { readonly declared: PoolConfig }[] = [],
): Problem | null {
  for (const { declared } of pools) {
    const problem = declared.throttle === undefined ? null : checkThrottle(declared.throttle);
    if (problem !== null) return problem;
  }
  return null;
}

export function checkThrottle({ max, duration }: Throttle): Problem | null {
  return (
    checkWhole("throttle.max", max, [1, THROTTLE_ITEMS_MAX]) ??
    checkWhole("throttle.duration", duration, [1, THROTTLE_MS_MAX], " It is in milliseconds.")
  );
}

function checkWhole(
  field: string,
  value: number,
  [least, most]: readonly [number, number],
  advice = "",
): Problem | null {
  if (Number.isInteger(value) && value >= least && value <= most) return null;
  const range = `a whole number from ${least} to ${most}`;
  const message = `${field} must be ${range}, not ${value}.${advice}`;
  return { code: "OPTION_INVALID", field, value: String(value), message };
}
