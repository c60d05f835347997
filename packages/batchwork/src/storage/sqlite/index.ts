/** SQLite storage: one file on a local disk, shared by as many processes as open it. */
import { BatchworkError } from "../../core/errors.ts";
import { WAIT_MS_MAX } from "../../core/limits.ts";
import type { Durability } from "./connection.ts";
import { isHandle, type SqliteHandle } from "./handle.ts";
import { SqliteStorage } from "./storage.ts";

export type { Durability } from "./connection.ts";
export type { SqliteHandle } from "./handle.ts";
export type { SqliteStorage } from "./storage.ts";
export type { SqliteTx, SqliteTxStatement } from "./tx.ts";

/** Options of {@link sqlite}. Either `path` or `database` is required. */
export interface SqliteOptions {
  /**
   * The database file, made where there is none. Local disks only: write-ahead logging does not
   * work on network file systems. `":memory:"` needs `durability: "relaxed"`. Opened with
   * `node:sqlite`: where this process has the file open with `better-sqlite3`, give `database`.
   */
  readonly path?: string;
  /**
   * An open handle of yours, instead of `path`: a `DatabaseSync` of `node:sqlite`, or a `Database`
   * of `better-sqlite3`. It is switched to write-ahead logging, and never closed here. While you
   * hold a transaction open on it, the engine waits. All handles of one process on one file must be
   * of the same kind: two copies of SQLite in one process do not heed each other's locks.
   */
  readonly database?: SqliteHandle;
  /**
   * `"full"`: what was committed survives a power cut (`synchronous=FULL`). `"relaxed"`: it
   * survives a crash of the process, but a power cut may take the last commits
   * (`synchronous=NORMAL`; a handle of yours keeps its own setting). Default `"full"`.
   */
  readonly durability?: Durability;
  /**
   * How long to wait for the write lock, ms, without blocking the event loop, until the call
   * rejects with `STORAGE_BUSY`. 0 to 365 days. Default 10,000.
   */
  readonly busyTimeoutMs?: number;
}

/** Long enough for the longest transaction anybody should hold. */
const BUSY_TIMEOUT_MS = 10_000;

/**
 * A storage on a SQLite database. All tables begin with `batchwork_`, so it can share a database
 * with tables of yours, and `ctx.tx` writes to both at once.
 *
 * @throws `OPTION_INVALID` here; `NOT_DURABLE`, `SCHEMA_NEWER`, `STORAGE_MOVED` (by `promote`) or
 * `STORAGE_FAILED` when it is opened
 */
export function sqlite(options: SqliteOptions): SqliteStorage {
  const { path, database, durability = "full", busyTimeoutMs = BUSY_TIMEOUT_MS } = options;
  if ((path === undefined) === (database === undefined)) {
    throw invalid("path", path, "give either path or database");
  }
  if (path !== undefined && typeof path !== "string") {
    throw invalid("path", path, "give the path of a file as a string");
  }
  if (database !== undefined && !isHandle(database)) {
    throw invalid("database", database, "give an open DatabaseSync or better-sqlite3 Database");
  }
  if (durability !== "full" && durability !== "relaxed") {
    throw invalid("durability", durability, 'give "full" or "relaxed"');
  }
  if (!Number.isFinite(busyTimeoutMs) || busyTimeoutMs < 0 || busyTimeoutMs > WAIT_MS_MAX) {
    throw invalid("busyTimeoutMs", busyTimeoutMs, `give milliseconds from 0 to ${WAIT_MS_MAX}`);
  }
  const source = database === undefined ? { path: path as string } : { database };
  return new SqliteStorage({ source, durability, busyTimeoutMs });
}

function invalid(field: string, value: unknown, advice: string): BatchworkError {
  const message = `sqlite: ${field} is ${String(value)}: ${advice}.`;
  return new BatchworkError("OPTION_INVALID", message, { field, value });
}
