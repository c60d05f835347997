/** Calls of the schema's functions: each is one statement, and one transaction by itself. */
import { hash } from "node:crypto";

import type { Clock } from "../../core/clock.ts";
import type {
  PostgresClient,
  PostgresPool,
  PostgresPoolClient,
  PostgresQuery,
  PostgresResult,
} from "./client.ts";
import { TYPES } from "./client.ts";
import { inSchema } from "./statements.ts";
import { borrow, giveBack } from "./lending.ts";
import { busyError, isAnswer, isTransient, isUnprepared, storageError } from "./failure.ts";

/** How often a statement is tried when the server rolled it back for somebody else's sake. */
const ATTEMPTS = 5;

/** Wait before such a statement is tried again, ms, times the attempt and a random share. */
const PAUSE_MS = 10;

/**
 * Who lost the connection without knowing leaves a transaction behind: the server ends it when
 * nothing was asked of it for two replies' time, or for its own limit where it has one.
 */
const BEGIN = `BEGIN ISOLATION LEVEL READ COMMITTED;
  SAVEPOINT batchwork_tx;
  SELECT set_config('idle_in_transaction_session_timeout', '@idle', true)
    WHERE current_setting('idle_in_transaction_session_timeout') = '0'`;

const IDLE_REPLIES = 2;

/** A connection that takes longer for that is closed instead, which rolls back as well, ms. */
const ROLLBACK_MS = 1000;

type Row = Readonly<Record<string, unknown>>;

/** What a {@link Database} is made of. */
export interface DatabaseSettings {
  readonly pool: PostgresPool;
  readonly clock: Clock;
  readonly schema: string;
  /** The schema's own id. */
  readonly id: string;
  /** True when statements run under READ COMMITTED without being told. */
  readonly readCommitted: boolean;
  /** True when a connection of the pool is the same connection of the server at each statement. */
  readonly prepares: boolean;
  /** Storage time in place of the server's clock; tests only. */
  readonly now: (() => number) | undefined;
  /** How long a statement may take before its connection is given up, ms. */
  readonly replyTimeoutMs: number;
}

/** How a transaction ends. */
export interface Ending {
  /** Commits. Whatever the server refuses in it, it has committed nothing. */
  readonly sql: string;
  /** Called with what the statements answered, once they have committed. */
  readonly committed?: (results: unknown) => void;
  /** What the server's refusal means. */
  readonly refused: (error: unknown) => unknown;
  /** Called when no answer came. Throws unless it finds out that the commit did happen. */
  readonly unanswered: (error: unknown) => Promise<void>;
}

const COMMIT: Ending = {
  sql: "COMMIT",
  refused: storageError,
  unanswered: async (error) => {
    throw storageError(error);
  },
};

/** Names of prepared statements, by text. */
const names = new Map<string, string>();

/** The same for the same text only, whoever else has the pool, such as another copy of this. */
function nameOf(text: string): string {
  let name = names.get(text);
  if (name === undefined) {
    // Names have at most 63 characters.
    names.set(text, (name = `batchwork_${hash("sha256", text, "base64url")}`));
  }
  return name;
}

/** The opened database. */
export class Database {
  readonly id: string;
  readonly #settings: DatabaseSettings;
  /** False once somebody was found to discard what was prepared. */
  #prepares: boolean;

  constructor(settings: DatabaseSettings) {
    this.#settings = settings;
    this.#prepares = settings.prepares;
    this.id = settings.id;
  }

  /** What is passed as the time: `null` has the server read its clock. */
  get at(): number | null {
    return this.#settings.now?.() ?? null;
  }

  /** How long a statement may take, ms. */
  get replyTimeoutMs(): number {
    return this.#settings.replyTimeoutMs;
  }

  /** The text with `@.` replaced by the schema. */
  text(sql: string): string {
    return inSchema(sql, this.#settings.schema);
  }

  /**
   * Runs one statement as a transaction. Again, when the server asks for that. `timeoutMs` is for
   * what is of no use when it comes late; never more than the storage's own limit.
   */
  async run(
    sql: string,
    values: readonly unknown[] = [],
    timeoutMs = Number.POSITIVE_INFINITY,
  ): Promise<PostgresResult> {
    const query_timeout = Math.ceil(Math.min(timeoutMs, this.replyTimeoutMs));
    const text = this.text(sql);
    const query = { text, values, types: TYPES, query_timeout };
    for (let attempt = 1; ; attempt++) {
      const prepared = this.#prepares;
      try {
        return await this.#once(prepared ? { ...query, name: nameOf(text) } : query);
      } catch (error) {
        if (prepared && isUnprepared(error)) {
          this.#prepares = false;
          continue;
        }
        if (!isTransient(error)) throw storageError(error);
        if (attempt >= ATTEMPTS) throw busyError(error);
      }
      await this.#pause(attempt);
    }
  }

  async rows(sql: string, values?: readonly unknown[]): Promise<readonly Row[]> {
    return (await this.run(sql, values)).rows;
  }

  /** The only row of an answer. */
  async row(sql: string, values?: readonly unknown[]): Promise<Row> {
    return (await this.rows(sql, values))[0] as Row;
  }

  /** Reads tables of the user's, with values as the pool itself makes them of columns. */
  async read(text: string, values: readonly unknown[]): Promise<readonly Row[]> {
    const { pool } = this.#settings;
    try {
      return (await pool.query({ text, values, query_timeout: this.replyTimeoutMs })).rows;
    } catch (error) {
      throw storageError(error);
    }
  }

  /** Runs one statement on a connection, in whatever transaction it is. */
  async on(
    client: PostgresClient,
    sql: string,
    values: readonly unknown[] = [],
  ): Promise<readonly Row[]> {
    const query_timeout = this.replyTimeoutMs;
    return (await client.query({ text: this.text(sql), values, types: TYPES, query_timeout })).rows;
  }

  /**
   * Lends a connection with a transaction open, and a savepoint `batchwork_tx` at its start. Ends
   * it when `work` returns, rolls back when it throws; what it throws is passed on as it is.
   */
  async transaction<T>(
    work: (client: PostgresPoolClient) => Promise<T>,
    ending: () => Ending = () => COMMIT,
  ): Promise<T> {
    const client = await this.#connect();
    const query_timeout = this.replyTimeoutMs;
    let broken: Error | undefined;
    try {
      const idle = `${IDLE_REPLIES * query_timeout}ms`;
      try {
        await client.query({ text: BEGIN.replace("@idle", idle), query_timeout });
      } catch (error) {
        broken = error as Error;
        throw storageError(error);
      }
      let end: Ending;
      let result: T;
      try {
        result = await work(client);
        end = ending();
      } catch (error) {
        broken = await rollback(client);
        throw error;
      }
      try {
        const results: unknown = await client.query({ text: end.sql, query_timeout });
        end.committed?.(results);
      } catch (error) {
        if (isAnswer(error)) {
          broken = await rollback(client);
          throw end.refused(error);
        }
        broken = error as Error;
        await end.unanswered(error);
      }
      return result;
    } finally {
      giveBack(client, broken);
    }
  }

  async #connect(): Promise<PostgresPoolClient> {
    try {
      return await borrow(this.#settings.pool);
    } catch (error) {
      throw storageError(error);
    }
  }

  async #once(query: PostgresQuery): Promise<PostgresResult> {
    const { pool, readCommitted } = this.#settings;
    if (readCommitted) return pool.query(query);
    return this.transaction(async (client) => client.query(query));
  }

  async #pause(attempt: number): Promise<void> {
    const { clock } = this.#settings;
    const ms = PAUSE_MS * attempt * clock.random();
    return new Promise((resolve) => {
      clock.after(ms, resolve);
    });
  }
}

/** Returns the error of a connection that is of no use any more. */
async function rollback(client: PostgresPoolClient): Promise<Error | undefined> {
  try {
    await client.query({ text: "ROLLBACK", query_timeout: ROLLBACK_MS });
    return undefined;
  } catch (error) {
    return error as Error;
  }
}
