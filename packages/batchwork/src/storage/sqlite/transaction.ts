/** Transactions: waiting for the lock, storage time, and what an error means. */
import { advanceClock, type Clock, type ClockReading } from "../../core/clock.ts";
import { BatchworkError } from "../../core/errors.ts";
import type { Connection, TransactionMode } from "./connection.ts";
import { isBusy } from "./handle.ts";
import { movedFailure } from "./moved.ts";
import type { IntakeStatements, Statements } from "./prepared.ts";
import { Turns } from "./turns.ts";

/** Waits between two attempts to have the lock, ms: as long as others hold it, and out of step. */
const PAUSE_MS_MIN = 1;
const PAUSE_MS_MAX = 15;

/**
 * One transaction: its statements, its time, and the places it gives out in the lines of groups.
 */
export interface Transaction<S = Statements> {
  readonly sql: S;
  /** Storage time, ms. */
  readonly now: number;
  /** What `total_changes()` was when it began: more by now means that it has to be written. */
  readonly changes: number;
  /** A place behind everybody who has one. */
  readonly nextTurn: () => number;
}

/** Reads storage time at the start of a transaction and writes it back at its end. */
export class StorageClock {
  readonly #clock: Clock;
  #reading: ClockReading;

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#reading = { at: 0, monotonicMs: clock.monotonicMs() };
  }

  /** Runs `work` at storage time, inside the transaction that is open on the statements' handle. */
  within<S extends IntakeStatements, T>(sql: S, work: (tx: Transaction<S>) => T): T {
    const stored = sql.readClock.get() as { at: number; turn: number; changes: number };
    const { at, changes } = stored;
    const clock = this.#clock;
    this.#reading = advanceClock(this.#reading, at, clock.wallMs(), clock.monotonicMs());
    const now = this.#reading.at;
    let { turn } = stored;
    const result = work({ sql, now, changes, nextTurn: () => ++turn });
    sql.writeClock.run(now, turn, changes);
    return result;
  }

  /** Storage time, for a transaction that only reads. */
  read(sql: IntakeStatements): number {
    const { at } = sql.readClock.get() as { readonly at: number };
    const clock = this.#clock;
    this.#reading = advanceClock(this.#reading, at, clock.wallMs(), clock.monotonicMs());
    return this.#reading.at;
  }
}

/** Rolls the transaction back for good; `error` is what the caller is told, as it is. */
export class RolledBackError extends Error {
  override readonly name = "RolledBackError";
  readonly error: unknown;

  constructor(error: unknown) {
    super("The transaction was rolled back.");
    this.error = error;
  }
}

/** The transactions of one connection, one after the other. */
export class Transactions {
  readonly #connection: Connection;
  readonly #clock: Clock;
  readonly #time: StorageClock;
  readonly #busyTimeoutMs: number;
  readonly #turns = new Turns();

  constructor(connection: Connection, clock: Clock, busyTimeoutMs: number) {
    this.#connection = connection;
    this.#clock = clock;
    this.#time = new StorageClock(clock);
    this.#busyTimeoutMs = busyTimeoutMs;
  }

  get time(): StorageClock {
    return this.#time;
  }

  /** Runs `work` with the write lock. It may run again when the lock was lost on the way. */
  async write<T>(work: (tx: Transaction) => T): Promise<T> {
    const { statements } = this.#connection;
    return this.exclusive("write", () => this.#time.within(statements, work));
  }

  /** Runs `work` on one state of the database. */
  async read<T>(work: (sql: Statements) => T): Promise<T> {
    return this.exclusive("read", () => work(this.#connection.statements));
  }

  /** The same, with storage time. */
  async readAt<T>(work: (sql: Statements, now: number) => T): Promise<T> {
    return this.read((sql) => work(sql, this.#time.read(sql)));
  }

  /** Runs `work` in a transaction of this mode, as soon as nobody else is in the way. */
  async exclusive<T>(mode: TransactionMode, work: () => T): Promise<T> {
    return this.alone(() => this.#attempt(mode, work));
  }

  /** Runs `work` outside of any transaction, again and again while the database is busy. */
  async alone<T>(work: () => T): Promise<T> {
    return this.#turns.take(async () => this.#patiently(work));
  }

  /** Runs `work` behind everything else, without waiting for any lock. */
  async last(work: () => void): Promise<void> {
    return this.#turns.take(async () => work());
  }

  #attempt<T>(mode: TransactionMode, work: () => T): T {
    const connection = this.#connection;
    connection.begin(mode);
    try {
      const result = work();
      connection.commit();
      return result;
    } catch (error) {
      connection.rollbackAfterError();
      throw error;
    }
  }

  async #patiently<T>(work: () => T): Promise<T> {
    const since = this.#clock.monotonicMs();
    for (;;) {
      if (!this.#connection.inForeignTransaction) {
        try {
          return work();
        } catch (error) {
          if (!isBusy(error)) throw storageError(error);
        }
      }
      if (this.#clock.monotonicMs() - since >= this.#busyTimeoutMs) throw busy(this.#busyTimeoutMs);
      await this.#pause();
    }
  }

  async #pause(): Promise<void> {
    const ms = PAUSE_MS_MIN + this.#clock.random() * (PAUSE_MS_MAX - PAUSE_MS_MIN);
    return new Promise((resolve) => {
      this.#clock.after(ms, resolve);
    });
  }
}

function busy(timeoutMs: number): BatchworkError {
  const message =
    `The write lock could not be had for ${timeoutMs} ms, and nothing was written: ` +
    "try again, and look for a transaction that is left open.";
  return new BatchworkError("STORAGE_BUSY", message, { field: "busyTimeoutMs", value: timeoutMs });
}

/** What a caller is told of an error inside a transaction. */
export function storageError(error: unknown): unknown {
  if (error instanceof RolledBackError) return error.error;
  if (error instanceof BatchworkError) return error;
  const reason = error instanceof Error ? error.message : String(error);
  const moved = movedFailure(reason);
  if (moved !== undefined) return moved;
  const message = `SQLite failed: ${reason}. What was to be written may or may not be there.`;
  return new BatchworkError("STORAGE_FAILED", message, { cause: error });
}
