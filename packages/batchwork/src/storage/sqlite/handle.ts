/** The slice of a SQLite driver that this storage uses, so that a handle can be lent to it. */

/** What is bound to a statement. */
export type SqliteValue = number | string | null;

/** A prepared statement, as `node:sqlite` and `better-sqlite3` have it. */
export interface SqliteStatement {
  run(...parameters: readonly SqliteValue[]): SqliteRun;
  run(parameters: Readonly<Record<string, SqliteValue>>): SqliteRun;
  get(...parameters: readonly SqliteValue[]): unknown;
  get(parameters: Readonly<Record<string, SqliteValue>>): unknown;
  all(...parameters: readonly SqliteValue[]): unknown[];
  all(parameters: Readonly<Record<string, SqliteValue>>): unknown[];
}

/** What a statement without results answers. */
export interface SqliteRun {
  readonly changes: number | bigint;
  readonly lastInsertRowid: number | bigint;
}

/** A database handle: `DatabaseSync` of `node:sqlite`, or `Database` of `better-sqlite3`. */
export interface SqliteHandle {
  exec(sql: string): unknown;
  /** The driver's statement; the drivers' types have no more in common than that it is one. */
  prepare(sql: string): object;
  /** `node:sqlite`. */
  readonly isTransaction?: boolean;
  /** `better-sqlite3`. */
  readonly inTransaction?: boolean;
}

/** True while a transaction is open on the handle, whoever began it. */
export function inTransaction(handle: SqliteHandle): boolean {
  return handle.isTransaction ?? handle.inTransaction ?? false;
}

/**
 * True when one copy of SQLite is behind both. Two copies in one process do not see each other's
 * locks on a file, because locks belong to the process: both then write at once, and writes vanish.
 */
export function shareLibrary(one: SqliteHandle, other: SqliteHandle): boolean {
  return isOfNode(one) === isOfNode(other);
}

/** True for a handle of `node:sqlite`. */
export function isOfNode(handle: SqliteHandle): boolean {
  return "isTransaction" in handle;
}

/** True for whatever looks like a handle. */
export function isHandle(value: unknown): value is SqliteHandle {
  if (typeof value !== "object" || value === null) return false;
  if (!("exec" in value) || typeof value.exec !== "function") return false;
  if (!("prepare" in value) || typeof value.prepare !== "function") return false;
  return "isTransaction" in value || "inTransaction" in value;
}

/** Options of a statement that a lent handle may have set otherwise for all of its statements. */
interface StatementSettings {
  setReadBigInts?(enabled: boolean): unknown;
  setReturnArrays?(enabled: boolean): unknown;
  setAllowBareNamedParameters?(enabled: boolean): unknown;
  safeIntegers?(enabled: boolean): unknown;
}

/**
 * Prepares a statement that yields objects with plain numbers, whatever the handle's defaults are.
 */
export function prepare(handle: SqliteHandle, sql: string): SqliteStatement {
  const statement = handle.prepare(sql) as SqliteStatement;
  const settings = statement as StatementSettings;
  settings.setReadBigInts?.(false);
  settings.setReturnArrays?.(false);
  settings.setAllowBareNamedParameters?.(true);
  settings.safeIntegers?.(false);
  return statement;
}

/** The file behind the handle's main database; `""` for one in memory. */
export function mainFile(handle: SqliteHandle): string {
  const databases = prepare(handle, "PRAGMA database_list").all();
  for (const { name, file } of databases as { name: string; file: string | null }[]) {
    if (name === "main") return file ?? "";
  }
  return "";
}

/** Primary result code for "somebody else has the lock". */
const SQLITE_BUSY = 5;

/** True when SQLite could not have the lock it needed. */
export function isBusy(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  // The low byte is the primary code; the rest says which kind of busy.
  if ("errcode" in error && typeof error.errcode === "number") {
    return (error.errcode & 0xff) === SQLITE_BUSY;
  }
  return "code" in error && typeof error.code === "string" && error.code.startsWith("SQLITE_BUSY");
}
