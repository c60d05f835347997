/** The driver, as far as the storage needs one: `pg`'s `Pool`, by structure. */

/** One statement. */
export interface PostgresQuery {
  readonly text: string;
  readonly values?: readonly unknown[];
  /** How columns become values; `pg`'s own way where it is left out. */
  readonly types?: PostgresTypes;
}

/** How the text of a column becomes a value, by the type's number. */
export interface PostgresTypes {
  readonly getTypeParser: (type: number) => (text: string) => unknown;
}

/** What a statement answers. */
export interface PostgresResult {
  readonly rows: readonly Readonly<Record<string, unknown>>[];
  readonly rowCount?: number | null;
}

/** One connection, or something that runs a statement on one. */
export interface PostgresClient {
  query(query: PostgresQuery): Promise<PostgresResult>;
}

/** One connection, taken from a pool. */
export interface PostgresPoolClient extends PostgresClient {
  /** Gives it back; an error has it closed instead. */
  release(error?: Error | boolean): void;
}

/** Connections: a `Pool` of `pg`, or anything that has its shape. */
export interface PostgresPool extends PostgresClient {
  connect(): Promise<PostgresPoolClient>;
}

/** A pool that was made here. */
export interface OwnPool extends PostgresPool {
  end(): Promise<void>;
  on(event: "error", listener: (error: Error) => void): unknown;
}

export function isClient(value: unknown): value is PostgresClient {
  return (
    typeof value === "object" &&
    value !== null &&
    "query" in value &&
    typeof value.query === "function"
  );
}

export function isPool(value: unknown): value is PostgresPool {
  return isClient(value) && "connect" in value && typeof value.connect === "function";
}

const BOOLEAN = 16;
const NUMBERS = new Set([20, 21, 23, 700, 701]);

/** Ids and times are whole numbers that a double holds; everything else stays text. */
export const TYPES: PostgresTypes = {
  getTypeParser: (type) => {
    if (NUMBERS.has(type)) return Number;
    return type === BOOLEAN ? (text) => text === "t" : (text) => text;
  },
};
