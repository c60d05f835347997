/** The worker's delays, each with its reason. */

/** How often an idle answer with a cooldown is asked for again, ms. */
export const POLL_MS = 200;

/** An idle worker is not woken by its own timer sooner than this, ms: a timer is not a loop. */
export const TIMEOUT_MS_MIN = 200;

/** A timer or debounce that is further away is a wrong unit, ms: a year. */
export const DELAY_MS_MAX = 365 * 24 * 60 * 60 * 1000;

/** First delay after a turn that failed, ms; doubled with each further one. */
export const BACKOFF_MS = 1000;

/** No delay after a failure is longer, ms. */
export const BACKOFF_MS_MAX = 60_000;

/** From this limit on the work query is not limited any more. */
export const LIMIT_MAX = 1024;

/** How long a batch that was given up is kept, ms: a week. */
export const DEAD_MS = 7 * 24 * 60 * 60 * 1000;

/** Bytes of a batch that is kept; a document ends at 1 MiB. */
export const DEAD_BYTES_MAX = 1_000_000;

/** Dead letters that one call runs again, discards or deletes. */
export const DEAD_CALL_MAX = 16;

/** Least `monitorLagMs`: each look of the monitor costs two function calls. */
export const MONITOR_LAG_MS_MIN = 10_000;

/** A turn that is due and was not started for this long is scheduled anew, ms. */
export const OVERDUE_MS = 60_000;

/** How often a busy worker reports, ms. */
export const REPORT_MS = 60_000;

/** Workers that one call lists. */
export const LIST_MAX = 1000;
