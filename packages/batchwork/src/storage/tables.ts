/**
 * The part of the storage port that reads tables of the user's, in the order of a unique key. They
 * are in the same database as the storage, so that what a page writes through `ctx.tx` commits with
 * the cursor behind it. Only storages on a database have it.
 */

export interface TableStorage {
  /**
   * Checks that the table can be walked through and prepares to do so. Throws `TABLE_INVALID` when
   * there is no such table or column, when no unique index is there that yields the key's columns
   * in their order, or when a column of the key may be, or is, NULL.
   */
  open(query: TableQuery): Promise<OpenTable>;

  /**
   * How many rows of tables the transaction open on `tx` has inserted, updated and deleted so far.
   */
  changes(tx: unknown): number | Promise<number>;
}

/** What a storage has that shares its database with tables of the user's. */
export interface Tabled {
  readonly tables?: TableStorage;
}

/** What is read. */
export interface TableQuery {
  /** Name of the table; `schema.table` for one of another schema. */
  readonly table: string;
  /** Columns of the key, in the order of its index. */
  readonly key: readonly string[];
  /** Columns of a row; `null` for all. Those of the key are there in any case. */
  readonly columns: readonly string[] | null;
  /** Only rows for which this holds; `null` for all. */
  readonly where: TableCondition | null;
}

/** A condition in SQL, with the database's own placeholders. */
export interface TableCondition {
  readonly sql: string;
  readonly values: readonly unknown[];
}

/** Keys after one cursor, up to and with another; `null` for no end. See `core/cursor.ts`. */
export interface KeyRange {
  readonly after: string | null;
  readonly to: string | null;
}

export type TableRow = Readonly<Record<string, unknown>>;

/** A table that was checked. Every method is one statement, and one view of the table. */
export interface OpenTable {
  /** The first rows of a range, in the order of the key. */
  rows(range: KeyRange, limit: number): Promise<TableRows>;

  /** The keys of these rows, and nothing else of them. */
  keys(range: KeyRange, limit: number): Promise<TableKeys>;

  /** How many rows there are. */
  count(): Promise<number>;

  /** Cursors that cut the table into as many ranges of about as many rows each, or into fewer. */
  cuts(ranges: number): Promise<string[]>;
}

export interface TableKeys {
  /** A text for each key that no other key has. Made when it is called: few ask for it. */
  readonly keys: () => readonly string[];
  /** Of the last row; `null` when there is none. */
  readonly cursor: string | null;
}

export interface TableRows extends TableKeys {
  readonly rows: readonly TableRow[];
}
