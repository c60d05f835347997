/** One database handle, set up for what was promised, and the transactions on it. */
import { BatchworkError } from "../../core/errors.ts";
import { inTransaction, mainFile, prepare, type SqliteHandle } from "./handle.ts";
import { prepareAll, type Statements } from "./prepared.ts";

/**
 * `"full"`: what was committed survives a power cut. `"relaxed"`: it survives a crash of the
 * process.
 */
export type Durability = "full" | "relaxed";

/** `PRAGMA synchronous` as it is read back. */
const FULL = 2;

/** How transactions begin: with the write lock, or without. */
const BEGIN = { write: "BEGIN IMMEDIATE", read: "BEGIN DEFERRED" } as const;

export type TransactionMode = keyof typeof BEGIN;

/** A handle that was opened here, or lent by the user. */
export class Connection {
  readonly handle: SqliteHandle;
  readonly lent: boolean;
  readonly #close: () => void;
  #statements: Statements | undefined;

  private constructor(handle: SqliteHandle, lent: boolean, close: () => void) {
    this.handle = handle;
    this.lent = lent;
    this.#close = close;
  }

  /**
   * A handle of the user's: never closed here, and its settings stay as they are where they may.
   */
  static lend(handle: SqliteHandle): Connection {
    return new Connection(handle, true, () => undefined);
  }

  static async open(path: string, options: { readOnly?: boolean } = {}): Promise<Connection> {
    // Loaded when needed: somebody who lends a handle may run without `node:sqlite`.
    const { DatabaseSync } = await import("node:sqlite");
    const database = new DatabaseSync(path, options);
    const connection = new Connection(database, false, () => database.close());
    // A busy timeout blocks the event loop; waiting is done between attempts instead.
    database.exec("PRAGMA busy_timeout = 0");
    return connection;
  }

  close(): void {
    this.#statements = undefined;
    this.#close();
  }

  /** Prepares all statements, once the schema is in place. */
  prepare(): void {
    this.#statements = prepareAll(this.handle);
  }

  get statements(): Statements {
    return this.#statements as Statements;
  }

  /** True while the user has a transaction of their own open on the handle that they lent. */
  get inForeignTransaction(): boolean {
    return this.lent && inTransaction(this.handle);
  }

  /** Sets what durability needs and reads it back. Throws `NOT_DURABLE`. */
  secure(durability: Durability): void {
    const { handle } = this;
    const mode = this.#withoutWaiting(() => this.#pragma("PRAGMA journal_mode = WAL"));
    if (durability === "relaxed") {
      // A user who lends a stricter handle keeps it.
      if (!this.lent) handle.exec("PRAGMA synchronous = NORMAL");
      return;
    }
    if (mode !== "wal") {
      const where = mainFile(handle) === "" ? "a database in memory" : "this file system";
      const message =
        `The journal mode is "${String(mode)}" instead of "wal" on ${where}: ` +
        'use a file on a local disk, or durability: "relaxed".';
      throw new BatchworkError("NOT_DURABLE", message, { field: "path", value: mode });
    }
    handle.exec("PRAGMA synchronous = FULL");
    const synchronous = Number(this.#pragma("PRAGMA synchronous"));
    if (synchronous >= FULL) return;
    const message = `The database says synchronous=${synchronous} right after it was set to FULL.`;
    throw new BatchworkError("NOT_DURABLE", message, { field: "synchronous", value: synchronous });
  }

  /** Begins a transaction, or throws at once when somebody else has the lock. */
  begin(mode: TransactionMode): void {
    // Only there if a rollback failed: nothing of it was to be kept.
    if (!this.lent) this.rollback();
    this.#withoutWaiting(() => this.handle.exec(BEGIN[mode]));
  }

  commit(): void {
    this.handle.exec("COMMIT");
  }

  /** Rolls back what is open. SQLite itself has done so after some errors, such as a full disk. */
  rollback(): void {
    if (inTransaction(this.handle)) this.handle.exec("ROLLBACK");
  }

  /** Rolls back after an error, which stays the one to be told of. */
  rollbackAfterError(): void {
    try {
      this.rollback();
    } catch {
      // Whatever stopped this stops the next transaction too, and is reported there.
    }
  }

  /** A number that differs when another connection has committed. */
  dataVersion(): number {
    return Number(this.#pragma("PRAGMA data_version"));
  }

  /**
   * The user's own waiting for locks would block the event loop. It is theirs again right after.
   */
  #withoutWaiting<T>(work: () => T): T {
    const timeoutMs = this.lent ? Number(this.#pragma("PRAGMA busy_timeout")) : 0;
    if (timeoutMs === 0) return work();
    this.handle.exec("PRAGMA busy_timeout = 0");
    try {
      return work();
    } finally {
      // A pragma takes no bound values.
      this.handle.exec(["PRAGMA busy_timeout =", timeoutMs].join(" "));
    }
  }

  /** Runs a pragma and answers its first column. */
  #pragma(sql: string): unknown {
    // Prepared each time: SQLite works out the answer of some pragmas while it prepares them.
    const row = prepare(this.handle, sql).get();
    return Object.values(row as Record<string, unknown>)[0];
  }
}
