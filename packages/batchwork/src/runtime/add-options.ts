/** What an add may be told besides its items, and what every call is held to. */
import { BatchworkError } from "../core/errors.ts";
import { CALL_BYTES_MAX, CALL_ITEMS_MAX, IDEMPOTENCY_KEY_CHARACTERS_MAX } from "../core/limits.ts";

/** Options of `add`. */
export interface AddOptions {
  /**
   * A transaction that you hold open: the item exists if and only if it commits. The `tx` of
   * `ctx.tx`, or a connection of your own to the same database. Default: a commit of its own.
   */
  readonly tx?: unknown;
  /**
   * Stores the item once, however often it is added under this key: 1 to 512 characters, unique in
   * its batch definition until `keyTtlMs` after the item ended. Default: none.
   */
  readonly idempotencyKey?: string | undefined;
  /**
   * True keeps the item's result for `resultTtlMs` after its end: `batch.result(id)` tells it. As
   * `submit` does, which also waits for it. Not with `deduplicateBy`. Default false.
   */
  readonly keepResult?: boolean | undefined;
}

/** Options of `addBulk`. */
export interface BulkOptions<T> {
  /** As for `add`, for all items together. */
  readonly tx?: unknown;
  /** The key of each item; `undefined` for one without. Default: none has one. */
  readonly idempotencyKey?: ((item: T, index: number) => string | undefined) | undefined;
  /** As for `add`, for all items. Default false. */
  readonly keepResult?: boolean | undefined;
}

/** The options of one item as those of many. */
export function forBulk<O extends AddOptions>(
  options: O,
): Omit<O, "idempotencyKey"> & BulkOptions<unknown> {
  const { idempotencyKey } = options;
  return {
    ...options,
    idempotencyKey: idempotencyKey === undefined ? undefined : (): string => idempotencyKey,
  };
}

/** The options for items that a schema has changed: their keys are those of what was given. */
export function keysOf<T, O extends BulkOptions<T>>(given: readonly T[], options: O): O {
  const { idempotencyKey } = options;
  if (idempotencyKey === undefined) return options;
  const keyOf = (_: T, index: number): string | undefined =>
    idempotencyKey(given[index] as T, index);
  return { ...options, idempotencyKey: keyOf };
}

/** Refuses a call of too many items. Throws `CALL_TOO_LARGE`. */
export function checkCallItems(count: number): void {
  if (count > CALL_ITEMS_MAX) throw callTooLarge("items", count, CALL_ITEMS_MAX);
}

/** Refuses a call of too many bytes. Throws `CALL_TOO_LARGE`. */
export function checkCallBytes(bytes: number): void {
  if (bytes > CALL_BYTES_MAX) throw callTooLarge("bytes", bytes, CALL_BYTES_MAX);
}

function callTooLarge(what: string, value: number, most: number): BatchworkError {
  const message = `One call takes at most ${most} ${what}, not ${value}: split it.`;
  return new BatchworkError("CALL_TOO_LARGE", message, { field: what, value });
}

/** Refuses what cannot be a key. Throws `KEY_INVALID`. */
export function checkKey(key: unknown): asserts key is string {
  const problem = problemOf(key);
  if (problem === null) return;
  const message =
    `idempotencyKey must be a string of 1 to ${IDEMPOTENCY_KEY_CHARACTERS_MAX} characters, ` +
    `well-formed and without NUL, not ${problem}.`;
  throw new BatchworkError("KEY_INVALID", message, { field: "idempotencyKey", value: key });
}

/** What is wrong with a key, or `null`. */
function problemOf(key: unknown): string | null {
  if (typeof key !== "string") return key === null ? "null" : typeof key;
  if (key.length === 0) return "an empty one";
  if (key.length > IDEMPOTENCY_KEY_CHARACTERS_MAX) return `one of ${key.length}`;
  // UTF-8 has no lone surrogates, and text in PostgreSQL no NUL.
  if (!key.isWellFormed()) return "one with half a character";
  return key.includes("\0") ? "one with NUL" : null;
}
