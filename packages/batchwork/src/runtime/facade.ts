/** The slice of a database handle that `ctx.tx` lends to a handler for one transaction. */

/** A prepared statement inside a transaction. */
export interface FacadeStatement {
  run(...parameters: unknown[]): unknown;
  get(...parameters: unknown[]): unknown;
  all(...parameters: unknown[]): unknown[];
}

/**
 * The database inside `ctx.tx`. Revoked when the transaction ends: later use throws `TX_OVER`.
 * Committing and rolling back are the engine's: such statements throw.
 */
export interface Facade {
  /** Runs SQL without results. */
  exec(sql: string): unknown;
  /** Prepares one statement; it ends with the transaction. */
  prepare(sql: string): FacadeStatement;
}
