/** What an error of the driver or the server means to the caller. */
import { BatchworkError } from "../../core/errors.ts";

/** The server rolled the statement back for the sake of another; trying again is the cure. */
const TRANSIENT = new Set(["40001", "40P01", "55P03"]);

/** Conditions that the schema's functions raise. */
export const OTHER_DATABASE = "BW001";
const UNKNOWN_QUEUE = "BW002";

/** The server's: a savepoint outside of a transaction. */
export const NO_TRANSACTION = "25P01";

/** The SQLSTATE of an error of the server's, or the code of a system error. */
export function codeOf(error: unknown): string {
  const code: unknown = error instanceof Error && "code" in error ? error.code : undefined;
  return typeof code === "string" ? code : "";
}

/** True when nothing was written and the same statement may succeed in a moment. */
export function isTransient(error: unknown): boolean {
  return TRANSIENT.has(codeOf(error));
}

export function busyError(cause: unknown): BatchworkError {
  const message =
    "PostgreSQL rolled the statement back again and again for the sake of others, and nothing " +
    "was written: try again, and look for transactions that hold locks.";
  return new BatchworkError("STORAGE_BUSY", message, { cause });
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
