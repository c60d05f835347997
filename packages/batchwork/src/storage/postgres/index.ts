/** PostgreSQL storage: one database, shared by any number of processes on many machines. */
import { BatchworkError } from "../../core/errors.ts";
import { isPool, type PostgresPool } from "./client.ts";
import type { Durability } from "./connection.ts";
import { PostgresStorage } from "./storage.ts";

export type {
  PostgresClient,
  PostgresPool,
  PostgresPoolClient,
  PostgresQuery,
  PostgresResult,
  PostgresTypes,
} from "./client.ts";
export type { Durability } from "./connection.ts";
export type { PostgresStorage } from "./storage.ts";
export type { PostgresTx, PostgresTxResult } from "./tx.ts";

/** Options of {@link postgres}. Either `connectionString` or `pool` is required. */
export interface PostgresOptions {
  /** Where the database is, as a URL. Needs the package `pg`. */
  readonly connectionString?: string;
  /**
   * A `Pool` of `pg` of yours, instead of `connectionString`. It is never closed here. Listen to
   * its `error` event, or a connection that breaks while idle ends your process.
   */
  readonly pool?: PostgresPool;
  /**
   * The schema for the engine's tables and functions, made where there is none. 1 to 63 characters:
   * small letters, digits and `_`, not a digit first. Default `"batchwork"`.
   */
  readonly schema?: string;
  /**
   * `"full"`: opening fails with `NOT_DURABLE` unless the server keeps what was committed through a
   * crash (`fsync`, `full_page_writes`, `synchronous_commit`). `"relaxed"`: it is taken as it is.
   * Default `"full"`.
   */
  readonly durability?: Durability;
}

const SCHEMA_PATTERN = /^[a-z_][a-z0-9_]{0,62}$/;

/**
 * A storage on PostgreSQL 14 or later. Everything is in a schema of its own, and `ctx.tx` writes to
 * it and to tables of yours at once.
 *
 * @throws `OPTION_INVALID` here; `NOT_DURABLE`, `SCHEMA_NEWER` or `STORAGE_FAILED` when opened
 */
export function postgres(options: PostgresOptions): PostgresStorage {
  const { connectionString, pool, schema = "batchwork", durability = "full" } = options;
  if ((connectionString === undefined) === (pool === undefined)) {
    throw invalid("connectionString", undefined, "give either connectionString or pool");
  }
  if (connectionString !== undefined && typeof connectionString !== "string") {
    throw invalid("connectionString", connectionString, "give a URL as a string");
  }
  if (pool !== undefined && !isPool(pool)) throw invalid("pool", pool, "give a Pool of pg");
  if (!SCHEMA_PATTERN.test(schema)) {
    throw invalid("schema", schema, "give 1 to 63 small letters, digits and _");
  }
  if (durability !== "full" && durability !== "relaxed") {
    throw invalid("durability", durability, 'give "full" or "relaxed"');
  }
  const source = pool === undefined ? { connectionString: connectionString as string } : { pool };
  return new PostgresStorage({ source, schema, durability });
}

function invalid(field: string, value: unknown, advice: string): BatchworkError {
  const message = `postgres: ${field} is ${String(value)}: ${advice}.`;
  return new BatchworkError("OPTION_INVALID", message, { field, value });
}
