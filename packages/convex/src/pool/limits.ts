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

/** Parts of a throttle's window that are told apart: what it may be longer than it says. */
export const THROTTLE_STEPS = 20;

/** Items that a throttle allows in one span. Whoever wants more wants none. */
export const THROTTLE_ITEMS_MAX = 1_000_000;

/** Longest span of a throttle, ms: 365 days. Beyond it, a wrong unit is likelier than a wish. */
export const THROTTLE_MS_MAX = 365 * 24 * 60 * 60 * 1000;

/** Pools of one instance, and priorities in use at a time: each costs every turn a read. */
export const QUEUES_MAX = 200;

/** Queues that are kept over the loop's sleep, so that the usual ones are not named anew. */
export const QUEUES_KEPT = 16;

/** Characters of a serial key; it is part of index keys. */
export const KEY_CHARACTERS_MAX = 512;

/** How long dead letters are kept when code says nothing, ms: a week. */
export const DEAD_MS = 7 * 24 * 60 * 60 * 1000;

/** Dead letters that one call brings back or discards; each may mean reading its payload. */
export const DEAD_CALL_MAX = 64;

/** Rows that one call lists or counts. */
export const LIST_MAX = 1000;

/** Bytes of payload that one call lists. */
export const LIST_BYTES_MAX = 4 * 1024 * 1024;

/** Work rows that one turn looks at. */
export const HEADS_MAX = 256;

/** How long the loop waits for more calls before it looks whether it may sleep, ms. */
export const QUIET_MS = 100;

/** How long a loop that has several queues waits for room before it looks at them again, ms. */
export const SHARE_LOOK_MS = 1000;

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

/** How long the last outcome of a key's row waits: the next row of the key waits for it, ms. */
export const SETTLE_SERIAL_MS = 20;

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

/** When something that is kept for `ms` expires: rounded up, so that few wake a sleeping loop. */
export function expiryOf(ms: number): number {
  return Math.ceil((Date.now() + ms) / EXPIRY_STEP_MS) * EXPIRY_STEP_MS;
}
