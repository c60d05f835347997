/**
 * The one error class of Batchwork. Decide on {@link BatchworkError.code}, never on the message:
 * codes are stable, messages are not.
 */

/** Every stable error code, with what it means. */
export type ErrorCode =
  /** An option has a value outside its range. `field` and `value` name it. */
  | "OPTION_INVALID"
  /** Two definitions in one engine use the same name. */
  | "NAME_TAKEN"
  /** An item cannot be stored without changing it. `field` is the path inside the item. */
  | "ITEM_INVALID"
  /** The `schema` has to be awaited, and what was called cannot wait. Nothing was stored. */
  | "SCHEMA_ASYNC"
  /** One item is larger than the item limit or than the batch's `maxBytes`. */
  | "ITEM_TOO_LARGE"
  /** One call carries more items or bytes than one call may. */
  | "CALL_TOO_LARGE"
  /** An idempotency key is no text of 1 to 512 characters, or has characters it may not have. */
  | "KEY_INVALID"
  /** An item of other content holds the idempotency key in `value`. Nothing was stored. */
  | "KEY_CONFLICT"
  /** More than `maxPending` would wait or run. Nothing was stored; a `QueueFullError`. */
  | "QUEUE_FULL"
  /** The queue is paused, so what was asked for would never happen. */
  | "PAUSED"
  /** The engine is stopping or stopped and takes no new work. */
  | "STOPPED"
  /** A newer lease on the batch exists, or the owner was declared dead. Nothing was written. */
  | "LEASE_LOST"
  /** The handler ran longer than `timeout`. */
  | "HANDLER_TIMEOUT"
  /** A pool has no handler of this name. A stored task that names it fails at once. */
  | "HANDLER_UNKNOWN"
  /** The task was canceled while it ran. */
  | "CANCELED"
  /** A hook returned what it may not return; see its description. */
  | "HOOK_INVALID"
  /** `flush()` was awaited inside a handler of the group it would have to wait for. */
  | "FLUSH_IN_HANDLER"
  /** The function given to `ctx.tx` returned a promise: nothing of it was kept. */
  | "TX_ASYNC"
  /** A transaction facade was used after its transaction, or `ctx.tx` ran a second time. */
  | "TX_OVER"
  /** A `tx` is not a handle of this storage's database, or has no open transaction. */
  | "TX_MISMATCH"
  /** The storage has no transactions to share (memory storage). */
  | "TX_UNSUPPORTED"
  /** No dead letter, or no job, has this id. */
  | "NOT_FOUND"
  /** A job of this iterator has the id already, ended or not. */
  | "JOB_EXISTS"
  /** The job is in a state in which this cannot be done; `value` is the state. */
  | "JOB_STATE"
  /** A table cannot be walked through as asked for: no such column, no unique index, NULLs. */
  | "TABLE_INVALID"
  /** A cursor belongs to another key or a newer version, or does not move. */
  | "CURSOR_INVALID"
  /** The batch was not kept with its items, or is kept no longer: it cannot be replayed. */
  | "NOT_KEPT"
  /** `ctx.results` was not given one result for each item, or a result cannot be stored. */
  | "RESULT_INVALID"
  /** Nothing is known of what became of the item: its result was not kept, or no longer. */
  | "RESULT_UNKNOWN"
  /** No result within `timeoutMs`. The item, whose id is `value`, goes on. */
  | "RESULT_TIMEOUT"
  /** The submitted item, whose id is `value`, is dead; `cause` is what it failed with. */
  | "ITEM_FAILED"
  /** `hooks.beforeFlush` left the submitted item out, so no handler was given it. */
  | "ITEM_LEFT_OUT"
  /** The process died while it ran this batch alone, `maxCrashes` times. */
  | "CRASHED"
  /** The write lock could not be had in time. Nothing was written; try again. */
  | "STORAGE_BUSY"
  /** The database was written by a newer version of Batchwork. */
  | "SCHEMA_NEWER"
  /** The database does not give the promised durability. */
  | "NOT_DURABLE"
  /** The storage was moved to another by `promote`, or is about to be. Nothing was written. */
  | "STORAGE_MOVED"
  /** A process still works on the storage that was to be moved. Nothing was moved. */
  | "PROMOTE_SOURCE_BUSY"
  /** The storage to move to has held items before. Nothing was moved. */
  | "PROMOTE_TARGET_USED"
  /** What arrived is not what was sent, or the source contradicts itself. Nothing was moved. */
  | "PROMOTE_MISMATCH"
  /** The storage failed; `cause` has its error. The write may or may not have happened. */
  | "STORAGE_FAILED";

/** What an error may carry besides its message. */
export interface ErrorDetails {
  /** The option, or the path inside an item, that is at fault. */
  readonly field?: string;
  /** The offending value. */
  readonly value?: unknown;
  /** The error underneath. */
  readonly cause?: unknown;
}

/** The one error class: a stable `code`, the `field` and `value` at fault, and what to do. */
export class BatchworkError extends Error {
  override readonly name = "BatchworkError";
  /** What went wrong, stable across versions. */
  readonly code: ErrorCode;
  /** The option, or the path inside an item, that is at fault. */
  readonly field: string | undefined;
  /** The offending value. */
  readonly value: unknown;

  constructor(code: ErrorCode, message: string, details: ErrorDetails = {}) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.code = code;
    this.field = details.field;
    this.value = details.value;
  }
}

/** True when `error` is a {@link BatchworkError} with this code. */
export function hasCode(error: unknown, code: ErrorCode): error is BatchworkError {
  return error instanceof BatchworkError && error.code === code;
}

/** An error as it is stored beside a dead letter. Each text is cut to 4,096 characters. */
export interface StoredError {
  readonly name: string;
  readonly message: string;
  readonly stack?: string;
  readonly code?: string;
}

/** The most that is kept of one error's message or stack, in characters. */
export const ERROR_TEXT_MAX = 4096;

const UNPRINTABLE = "(a value that cannot be printed)";

/** Turns whatever a handler threw into what is stored; never throws itself. */
export function storedError(thrown: unknown): StoredError {
  try {
    return readError(thrown);
  } catch {
    // An accessor of the error, or a trap of a Proxy, threw in its turn.
    return { name: "Error", message: UNPRINTABLE };
  }
}

function readError(thrown: unknown): StoredError {
  if (!(thrown instanceof Error)) return { name: "Error", message: cut(printed(thrown)) };
  const code: unknown = "code" in thrown ? thrown.code : undefined;
  return {
    name: cut(printed(thrown.name)),
    message: cut(printed(thrown.message)),
    ...(typeof thrown.stack === "string" ? { stack: cut(thrown.stack) } : {}),
    ...(typeof code === "string" ? { code: cut(code) } : {}),
  };
}

/** The stored error as an `Error` again, for callbacks such as `onDead(job, error)`. */
export function revivedError(stored: StoredError): Error {
  const error = new Error(stored.message);
  error.name = stored.name;
  if (stored.stack !== undefined) error.stack = stored.stack;
  if (stored.code !== undefined) Object.assign(error, { code: stored.code });
  return error;
}

function cut(text: string): string {
  return text.length <= ERROR_TEXT_MAX ? text : `${text.slice(0, ERROR_TEXT_MAX - 1)}…`;
}

function printed(value: unknown): string {
  try {
    return String(value);
  } catch {
    return UNPRINTABLE;
  }
}
