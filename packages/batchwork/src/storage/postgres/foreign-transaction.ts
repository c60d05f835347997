/**
 * Transactions that other libraries opened, seen as connections: whatever `add(item, { tx })` takes
 * is recognized by its shape, so none of these libraries is needed here.
 */
import {
  isClient,
  type PostgresClient,
  type PostgresQuery,
  type PostgresResult,
} from "./client.ts";

/** A transaction of Drizzle, over node-postgres or postgres.js. */
export interface DrizzleTransaction {
  readonly _: { readonly session: object };
}

/** A transaction of Kysely. */
export interface KyselyTransaction {
  withoutPlugins(): unknown;
  executeQuery(query: never): Promise<unknown>;
}

/** A transaction of postgres.js. */
export type PostgresJsTransaction = ((...args: never) => unknown) & {
  unsafe(text: string, values?: never): unknown;
};

/**
 * A transaction of yours on the same database, for `add(item, { tx })`: what a library hands to the
 * function that runs inside it, the `tx` of `ctx.tx`, or anything with a `query` that takes
 * `{ text, values }` (with `$1`, `$2` …) and resolves with `{ rows }`.
 */
export type PostgresTransaction =
  PostgresClient | DrizzleTransaction | KyselyTransaction | PostgresJsTransaction;

/** What Kysely runs as it is. */
interface CompiledQuery {
  readonly sql: string;
  readonly parameters: readonly unknown[];
  readonly query: object;
  readonly queryId: object;
}

interface KyselyExecutor {
  executeQuery(query: CompiledQuery): Promise<PostgresResult>;
}

interface PostgresJsQuery extends PromiseLike<unknown> {
  /** Rows as arrays: whoever renames columns cannot get in the way. */
  values(): PromiseLike<readonly (readonly unknown[])[]>;
}

interface PostgresJs {
  unsafe(text: string, values?: readonly unknown[]): PostgresJsQuery;
}

/** The connection behind a transaction; `undefined` for anything else. */
export function connectionOf(tx: unknown, columns: readonly string[]): PostgresClient | undefined {
  if (typeof tx === "function") return isPostgresJs(tx) ? fromPostgresJs(tx, columns) : undefined;
  if (isClient(tx)) return tx;
  if (isKysely(tx)) return fromKysely(tx);
  const client = drizzleClient(tx);
  return client === undefined ? undefined : connectionOf(client, columns);
}

/** Drizzle keeps what its driver gave it: a connection of pg, or a transaction of postgres.js. */
export function drizzleClient(tx: unknown): unknown {
  if (typeof tx !== "object" || tx === null || !("_" in tx)) return undefined;
  const inner = tx._ as { readonly session?: { readonly client?: unknown } } | null | undefined;
  return inner?.session?.client;
}

function isKysely(tx: unknown): tx is KyselyTransaction {
  return (
    typeof tx === "object" &&
    tx !== null &&
    "executeQuery" in tx &&
    typeof tx.executeQuery === "function" &&
    "withoutPlugins" in tx &&
    typeof tx.withoutPlugins === "function"
  );
}

function isPostgresJs(tx: object): tx is PostgresJs {
  return "unsafe" in tx && typeof tx.unsafe === "function";
}

function fromKysely(tx: KyselyTransaction): PostgresClient {
  const executor = tx.withoutPlugins() as KyselyExecutor;
  return {
    query: async ({ text, values = [] }: PostgresQuery) => {
      const query = { kind: "RawNode", sqlFragments: [text], parameters: [] };
      const queryId = { queryId: "batchwork" };
      return executor.executeQuery({ sql: text, parameters: [...values], query, queryId });
    },
  };
}

function fromPostgresJs(tx: PostgresJs, columns: readonly string[]): PostgresClient {
  return {
    query: async ({ text, values = [] }: PostgresQuery) => {
      if (values.length === 0) {
        await tx.unsafe(text);
        return { rows: [] };
      }
      const rows = await tx.unsafe(text, values.map(written)).values();
      return {
        rows: rows.map((row) => Object.fromEntries(columns.map((name, n) => [name, row[n]]))),
      };
    },
  };
}

/** A list as PostgreSQL writes it: whether the library can do that depends on its options. */
function written(value: unknown): unknown {
  if (!Array.isArray(value)) return value;
  const items = value.map((item) =>
    item === null ? "NULL" : `"${String(item).replaceAll(/[\\"]/g, String.raw`\$&`)}"`,
  );
  return `{${items.join(",")}}`;
}
