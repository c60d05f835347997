/** What options may be: one check for what code declares and for what is set at run time. */

/** Where a whole number may be, both ends included. */
interface Range {
  readonly least: number;
  readonly most: number;
  readonly unit: string;
}

/** Longest wait of any kind, ms: 365 days. Beyond it, a wrong unit is likelier than a wish. */
const WAIT_MS_MAX = 365 * 24 * 3_600_000;

/** Flushes in the span of a throttle: when each began is kept in one row. */
const THROTTLE_MAX = 1000;

const WAIT: Range = { least: 0, most: WAIT_MS_MAX, unit: "ms" };

const RANGES: Readonly<Record<string, Range>> = {
  maxBatchSize: { least: 1, most: 8192, unit: "items" },
  immediateFlushThreshold: { least: 1, most: 1_000_000, unit: "items" },
  maxAttempts: { least: 1, most: 10_000, unit: "attempts" },
  flushIntervalMs: WAIT,
  deduplicateFor: WAIT,
  historyTtl: WAIT,
  deadLetterTtl: WAIT,
  "backoff.baseDelay": WAIT,
  "backoff.maxDelay": WAIT,
  "throttle.max": { least: 1, most: THROTTLE_MAX, unit: "flushes" },
  "throttle.duration": { ...WAIT, least: 1 },
};

/** What is thrown; the shape that errors have across components. */
type Problem = Record<"code" | "field" | "value" | "message", string>;

/** The first option that is none, or `null`. What is absent, or taken back by `null`, is fine. */
export function checkOverride(options: object): Problem | null {
  for (const [name, value] of Object.entries(options)) {
    const fields = isGroup(value)
      ? Object.entries(value).map(([key, one]) => [`${name}.${key}`, one] as const)
      : [[name, value] as const];
    for (const [field, one] of fields) {
      const range = RANGES[field];
      if (range === undefined || one === undefined || one === null) continue;
      const { least, most, unit } = range;
      const isFine = Number.isInteger(one) && (one as number) >= least && (one as number) <= most;
      if (isFine) continue;
      const shown = String(one);
      const wanted = `a whole number of ${unit} from ${least} to ${most}`;
      const message = `${field} must be ${wanted}, not ${shown}.`;
      return { code: "OPTION_INVALID", field, value: shown, message };
    }
  }
  return null;
}

function isGroup(value: unknown): value is object {
  return typeof value === "object" && value !== null;
}
