/** PostgreSQL storage: one database, shared by any number of processes on many machines. */
import { BatchworkError } from "../../core/errors.ts";
import { isPool, type PostgresPool } from "./client.ts";
import { REPLY_TIMEOUT_MS, type Durability } from "./connection.ts";
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
export type {
  DrizzleTransaction,
  KyselyTransaction,
  PostgresJsTransaction,
  PostgresTransaction,
} from "./foreign-transaction.ts";
export type { PostgresStorage } from "./storage.ts";
export type { PostgresTx, PostgresTxQuery, PostgresTxResult } from "./tx.ts";

/** Options of {@link postgres}. Either `connectionString` or `pool` is required. */
export interface PostgresOptions {
  /** Where the database is, as a URL. Needs the package `pg`. */
  readonly connectionString?: string;
  /**
   * A `Pool` of `pg` of yours, instead of `connectionString`. It is never closed here. Listen to
   * its `error` event, or a connection that breaks while idle ends your process. Give it
   * `connectionTimeoutMillis` and `keepAlive: true`, or a network that swallows packets is noticed
   * only after minutes.
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
  /**
   * Whether processes tell each other, by `NOTIFY`, of work that they do not take care of
   * themselves. It takes one connection of the pool for good, to listen. `false`: each looks at
   * least every `tickIntervalMs`, and hears of nothing in between. Behind a pooler, such as
   * PgBouncer, nobody can listen; what goes through it is announced all the same. Default true.
   */
  readonly notifications?: boolean;
  /**
   * How long a statement may take, also one inside `ctx.tx`, ms: after that it has failed and its
   * connection is closed. A transaction in which nothing is asked for twice as long is ended by the
   * server. 100 to 3,600,000; default 30,000.
   */
  readonly replyTimeoutMs?: number;
}

const REPLY_TIMEOUT_MS_MIN = 100;
const REPLY_TIMEOUT_MS_MAX = 3_600_000;

const SCHEMA_PATTERN = /^[a-z_][a-z0-9_]{0,62}$/;

/**
 * A storage on PostgreSQL 14 or later. Everything is in a schema of its own, and `ctx.tx` writes to
 * it and to tables of yours at once.
 *
 * @throws `OPTION_INVALID` here; `NOT_DURABLE`, `SCHEMA_NEWER` or `STORAGE_FAILED` when opened
 */
export function postgres(options: PostgresOptions): PostgresStorage {
  const { connectionString, pool, schema = "batchwork", durability = "full" } = options;
  const { replyTimeoutMs = REPLY_TIMEOUT_MS, notifications = true } = options;
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
  if (typeof notifications !== "boolean") {
    throw invalid("notifications", notifications, "give true or false");
  }
  const inRange = replyTimeoutMs >= REPLY_TIMEOUT_MS_MIN && replyTimeoutMs <= REPLY_TIMEOUT_MS_MAX;
  if (!Number.isInteger(replyTimeoutMs) || !inRange) {
    const advice = `give a whole number from ${REPLY_TIMEOUT_MS_MIN} to ${REPLY_TIMEOUT_MS_MAX}`;
    throw invalid("replyTimeoutMs", replyTimeoutMs, advice);
  }
  const source = pool === undefined ? { connectionString: connectionString as string } : { pool };
  return new PostgresStorage({ source, schema, durability, notifications, replyTimeoutMs });
}

function invalid(field: string, value: unknown, advice: string): BatchworkError {
  const message = `postgres: ${field} is ${String(value)}: ${advice}.`;
  return new BatchworkError("OPTION_INVALID", message, { field, value });
}
