/** Checks of what callers declare: one problem, with its field and its value. */
import { ConvexError } from "convex/values";
import type { Config } from "./validators.js";

/** Throws `OPTION_INVALID` when an option is out of its range. */
export function checked(config: Config): Config {
  const { debounceMs, monitorLagMs, maxAttempts, backoff } = config;
  const delays = { debounceMs, monitorLagMs, ...backoff };
  for (const [field, value] of Object.entries(delays)) {
    if (value === undefined || (value >= 0 && Number.isFinite(value))) continue;
    throw new ConvexError(invalid(field, value, "a number of milliseconds from 0"));
  }
  if (maxAttempts !== undefined && (!Number.isInteger(maxAttempts) || maxAttempts < 1)) {
    throw new ConvexError(invalid("maxAttempts", maxAttempts, "a whole number from 1"));
  }
  return config;
}

function invalid(field: string, value: number, expected: string): Record<string, string> {
  const message = `${field} must be ${expected}, not ${value}.`;
  return { code: "OPTION_INVALID", field, value: String(value), message };
}
