/** What an error of the driver or the server means to the caller. */
import { BatchworkError } from "../../core/errors.ts";

/** The server rolled the statement back for the sake of another; trying again is the cure. */
const TRANSIENT = new Set(["40001", "40P01", "55P03"]);

/** Conditions that the schema's functions raise. */
export const OTHER_DATABASE = "BW001";
const UNKNOWN_QUEUE = "BW002";
export const LEASE_LOST = "BW003";
export const BUDGET_OVER = "BW005";

/** The server's: a savepoint outside of a transaction. */
export const NO_TRANSACTION = "25P01";

/** The server's: the savepoint is gone, or the transaction has failed. */
export const NO_SAVEPOINT = "3B001";
export const FAILED_TRANSACTION = "25P02";

/** The SQLSTATE of an error of the server's, or the code of a system error. */
export function codeOf(error: unknown): string {
  const code: unknown = error instanceof Error && "code" in error ? error.code : undefined;
  return typeof code === "string" ? code : "";
}

/** True when nothing was written and the same statement may succeed in a moment. */
export function isTransient(error: unknown): boolean {
  return TRANSIENT.has(codeOf(error));
}

/** No such prepared statement, one of that name, or one that no longer fits what it calls. */
const UNPREPARED = new Set(["26000", "42P05", "0A000"]);

/** True when the statement itself was not begun, only because it had been prepared. */
export function isUnprepared(error: unknown): boolean {
  return UNPREPARED.has(codeOf(error));
}

/** What the server says when it ends the connection: gone, shut down, or too long idle. */
const ENDED = /^(?:08...|57P..|25P0[345])$/v;

/**
 * True when the server answered, so that it is known to have undone the statement, and the
 * connection lives. Anything else (a broken connection, a time-out, a server that shut down) may
 * have come after the commit.
 */
export function isAnswer(error: unknown): boolean {
  const code = codeOf(error);
  const fromServer = error instanceof Error && "severity" in error;
  return fromServer && /^[0-9A-Z]{5}$/v.test(code) && !ENDED.test(code);
}

export function busyError(cause: unknown): BatchworkError {
  const message =
    "PostgreSQL rolled the statement back again and again for the sake of others, and nothing " +
    "was written: try again, and look for transactions that hold locks.";
  return new BatchworkError("STORAGE_BUSY", message, { cause });
}

/** What to do about what stands in the way of opening, by code. */
const ADVICE: Readonly<Record<string, string>> = {
  ECONNREFUSED: "nothing listens there: start the server, or check host and port",
  ENOTFOUND: "there is no such host: check the address",
  ETIMEDOUT: "no answer came: check host, port and firewalls",
  "28P01": "check user and password",
  "28000": "check the user, and what pg_hba.conf of the server allows",
  "3D000": "create the database first",
  "42501": "let the user create schemas in the database, or create the schema for it",
  "53300": "the server has no connection left: raise max_connections, or use smaller pools",
};

/** What a caller is told when the database cannot be opened. */
export function openError(error: unknown): unknown {
  if (error instanceof BatchworkError) return error;
  // A name with several addresses fails once for each, and the whole of it says nothing.
  const first: unknown = error instanceof AggregateError ? error.errors[0] : error;
  const reason = first instanceof Error ? first.message : String(first);
  const advice = ADVICE[codeOf(first)] ?? "see the cause";
  const message = `PostgreSQL could not be opened: ${reason} (${advice}).`;
  return new BatchworkError("STORAGE_FAILED", message, { cause: error });
}

/** What a caller is told of an error. */
export function storageError(error: unknown): unknown {
  if (error instanceof BatchworkError) return error;
  const reason = error instanceof Error ? error.message : String(error);
  if (codeOf(error) === UNKNOWN_QUEUE) {
    const message = `${reason.replace("batchwork: ", "")}: define it first.`;
    return new BatchworkError("STORAGE_FAILED", message, { field: "queue", cause: error });
  }
  const message = `PostgreSQL failed: ${reason}. What was to be written may or may not be there.`;
  return new BatchworkError("STORAGE_FAILED", message, { cause: error });
}
