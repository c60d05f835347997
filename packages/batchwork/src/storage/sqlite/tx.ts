/** The database inside `ctx.tx`: what a handler is lent for the length of one transaction. */
import { BatchworkError } from "../../core/errors.ts";
import { inTransaction, type SqliteHandle } from "./handle.ts";
import { transactionControl } from "./transaction-control.ts";

/** A prepared statement inside a transaction. Parameters and results are those of the driver. */
export interface SqliteTxStatement {
  run(...parameters: readonly unknown[]): unknown;
  get(...parameters: readonly unknown[]): unknown;
  all(...parameters: readonly unknown[]): unknown[];
  /** All rows are read at once: no cursor is left open when the transaction ends. */
  iterate(...parameters: readonly unknown[]): IterableIterator<unknown>;
}

/**
 * The database inside `ctx.tx`. Everything throws `TX_OVER` once the transaction has ended, however
 * it ended; statements that begin or end a transaction throw it at once.
 */
export interface SqliteTx {
  /** Runs SQL without results. */
  exec(sql: string): void;
  /** Prepares one statement; it ends with the transaction. */
  prepare(sql: string): SqliteTxStatement;
}

/** A facade, and the handle behind it. */
const handles = new WeakMap<object, Facade>();

/** The driver's statement, whose parameters are the user's affair. */
interface AnyStatement {
  readonly run: (...parameters: readonly unknown[]) => unknown;
  readonly get: (...parameters: readonly unknown[]) => unknown;
  readonly all: (...parameters: readonly unknown[]) => unknown[];
}

export class Facade {
  readonly handle: SqliteHandle;
  readonly tx: SqliteTx;
  #over = false;

  constructor(handle: SqliteHandle) {
    this.handle = handle;
    this.tx = {
      exec: (sql) => {
        this.#check(sql);
        handle.exec(sql);
      },
      prepare: (sql) => {
        this.#check(sql);
        return this.#statement(handle.prepare(sql) as AnyStatement);
      },
    };
    handles.set(this.tx, this);
  }

  /** The facade behind what a caller passed as `tx`, if it is one. */
  static of(tx: unknown): Facade | undefined {
    return typeof tx === "object" && tx !== null ? handles.get(tx) : undefined;
  }

  /** The transaction ends: nothing can be done through the facade any more. */
  revoke(): void {
    this.#over = true;
  }

  refuseWhenOver(): void {
    // SQLite rolls back by itself after some errors; what came next would commit statement by
    // statement.
    if (!this.#over && inTransaction(this.handle)) return;
    const message =
      "This transaction has ended: use its tx, and its statements, only inside ctx.tx.";
    throw new BatchworkError("TX_OVER", message, { field: "tx" });
  }

  #statement(statement: AnyStatement): SqliteTxStatement {
    const all = (...parameters: readonly unknown[]): unknown[] => {
      this.refuseWhenOver();
      return statement.all(...parameters);
    };
    return {
      run: (...parameters) => {
        this.refuseWhenOver();
        return statement.run(...parameters);
      },
      get: (...parameters) => {
        this.refuseWhenOver();
        return statement.get(...parameters);
      },
      all,
      iterate: (...parameters) => all(...parameters).values(),
    };
  }

  #check(sql: string): void {
    this.refuseWhenOver();
    const control = transactionControl(sql);
    if (control === null) return;
    const message =
      `ctx.tx: ${control} is not allowed inside the transaction. ` +
      "It commits when the function returns, and rolls back when it throws.";
    throw new BatchworkError("TX_OVER", message, { field: "sql", value: sql });
  }
}
