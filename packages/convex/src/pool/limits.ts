/** The pool's limits and delays, each with its reason. */

/** Items that run at a time when neither code nor `config.update` says otherwise. */
export const PARALLELISM_DEFAULT = 10;

/** Most items at a time in one instance. */
export const PARALLELISM_MAX = 200;

/** Most handlers at a time in one instance that runs them in the app's executors. */
export const INLINE_PARALLELISM_MAX = 100_000;

/** Slots of one executor: enough that few are needed, few enough that a crash is a small one. */
export const SLOTS_MAX = 32;

/** Items that an executor is given beyond its slots, so that it does not wait for the loop. */
export const RESERVE = 50;

/** Work rows that one turn looks at. */
export const HEADS_MAX = 256;

/** How long the loop waits for more calls before it looks whether it may sleep, ms. */
export const QUIET_MS = 100;

/** The monitor's look at an awake loop, ms. */
export const MONITOR_MS = 60_000;

/** Mutations, or callbacks, in one transaction. */
export const GROUP_MAX = 16;

/** Share of a transaction's budget that a group may use before it is cut. */
export const GROUP_BUDGET_SHARE = 0.25;

/** Share of a transaction's budget that user functions leave to what records their end. */
export const SETTLE_BUDGET_SHARE = 0.125;

/** Outcomes that make a settlement due. */
export const SETTLE_COUNT = 16;

/** Outcomes in one settlement without callbacks. */
export const SETTLE_COUNT_MAX = 64;

/** How long an outcome waits for company, ms. */
export const SETTLE_MS = 250;

/** An executor takes nothing new after this, ms: actions are left nearly all of their time. */
export const TAKE_MS = 60_000;

/** Attempts of a callback that throws; the last comes after about an hour. */
export const CALLBACK_ATTEMPTS_MAX = 10;

/** First delay of a callback that threw, ms; doubled each time. */
export const CALLBACK_BACKOFF_MS = 5000;

/** Crashes while alone after which an item is given up. */
export const CRASHES_MAX = 3;

/** Scheduling further ahead or back is a wrong unit, ms: 4 years ahead. */
export const DELAY_MS_MAX = 4 * 365 * 24 * 60 * 60 * 1000;

/** Work rows that one transaction cancels; each may mean reading its payload. */
export const CANCEL_ROWS = 64;

/** Results expire together, at whole multiples of this, ms. */
export const EXPIRY_STEP_MS = 600_000;
