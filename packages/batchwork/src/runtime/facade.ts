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

/** What a query inside an asynchronous transaction answers. */
export interface FacadeResult<Row> {
  readonly rows: Row[];
  /** Rows that were found or changed. */
  readonly rowCount: number | null;
}

/** A statement the way query builders give it to `pg`. */
export interface FacadeQuery {
  readonly text: string;
  readonly values?: readonly unknown[];
}

/** The same on PostgreSQL, where the function given to `ctx.tx` is asynchronous. */
export interface AsyncFacade {
  /** Runs one statement, with `$1`, `$2` … for the values. */
  query<Row = Record<string, unknown>>(
    query: string | FacadeQuery,
    values?: readonly unknown[],
  ): Promise<FacadeResult<Row>>;
}
