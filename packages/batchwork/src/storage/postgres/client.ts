/** The driver, as far as the storage needs one: `pg`'s `Pool`, by structure. */

/** One statement. */
export interface PostgresQuery {
  readonly text: string;
  /** A connection that has met this name before need not be told the text again. */
  readonly name?: string;
  readonly values?: readonly unknown[];
  /** How columns become values; `pg`'s own way where it is left out. */
  readonly types?: PostgresTypes;
  /** How long to wait for the answer before it has failed, ms. */
  readonly query_timeout?: number;
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
  /** The server's process behind it, as the server said when it was opened. */
  readonly processID?: unknown;
  /** Gives it back; an error has it closed instead. */
  release(error?: Error | boolean): void;
  /** Tells when the connection breaks while no statement is under way. */
  on?(event: "error", listener: (error: Error) => void): unknown;
  off?(event: "error", listener: (error: Error) => void): unknown;
}

/** What the server sends on its own account to whoever listens. */
export interface PostgresNotification {
  readonly payload?: string | undefined;
}

/** A connection that can listen. */
export interface ListeningClient extends PostgresPoolClient {
  on(event: "error", listener: (error: Error) => void): unknown;
  on(event: "end", listener: () => void): unknown;
  on(event: "notification", listener: (message: PostgresNotification) => void): unknown;
}

/** Connections: a `Pool` of `pg`, or anything that has its shape. */
export interface PostgresPool extends PostgresClient {
  connect(
    callback?: (error: Error | undefined, client: PostgresPoolClient | undefined) => void,
  ): Promise<PostgresPoolClient>;
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

export function canListen(client: PostgresPoolClient): client is ListeningClient {
  return typeof client.on === "function";
}

/** How many connections a pool holds at most, where it says so. */
export function sizeOf(pool: PostgresPool): number {
  const { options } = pool as { readonly options?: { readonly max?: unknown } };
  return typeof options?.max === "number" ? options.max : Number.POSITIVE_INFINITY;
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
