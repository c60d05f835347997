/** How much a component prints, and its one way to print. */
import { v, type Infer } from "convex/values";

/** From the most to the least talkative. REPORT adds one line a minute while busy. */
export const vLogLevel = v.union(
  v.literal("TRACE"),
  v.literal("DEBUG"),
  v.literal("INFO"),
  v.literal("REPORT"),
  v.literal("WARN"),
  v.literal("ERROR"),
);

export type LogLevel = Infer<typeof vLogLevel>;

/** The level when neither the app nor `LOG_LEVEL` names one. */
const LOG_LEVEL_DEFAULT: LogLevel = "REPORT";

const ORDER: readonly LogLevel[] = ["TRACE", "DEBUG", "INFO", "REPORT", "WARN", "ERROR"];

/** What an event carries: small, flat, fit for a log drain. */
export type LogFields = Readonly<Record<string, string | number | boolean | null>>;

/** Prints one event as a line of JSON, when `level` is at or above `threshold`. */
export function log(
  threshold: LogLevel | undefined,
  level: LogLevel,
  event: string,
  fields: LogFields = {},
): void {
  if (ORDER.indexOf(level) < ORDER.indexOf(threshold ?? LOG_LEVEL_DEFAULT)) return;
  const line = JSON.stringify({ component: "batchwork", event, ...fields });
  if (level === "ERROR") console.error(line);
  else if (level === "WARN") console.warn(line);
  else if (level === "INFO" || level === "REPORT") console.info(line);
  else console.debug(line);
}

/** `LOG_LEVEL` of a component's environment. */
export const vLogLevelEnv = v.optional(vLogLevel);
