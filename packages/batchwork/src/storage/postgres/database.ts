/** Calls of the schema's functions: each is one statement, and one transaction by itself. */
import type { Clock } from "../../core/clock.ts";
import type {
  PostgresClient,
  PostgresPool,
  PostgresPoolClient,
  PostgresResult,
  PostgresTypes,
} from "./client.ts";
import { TYPES } from "./client.ts";
import { inSchema } from "./statements.ts";
import { busyError, isTransient, storageError } from "./failure.ts";

/** How often a statement is tried when the server rolled it back for somebody else's sake. */
const ATTEMPTS = 5;

/** Wait before such a statement is tried again, ms, times the attempt and a random share. */
const PAUSE_MS = 10;

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
  /** Storage time in place of the server's clock; tests only. */
  readonly now: (() => number) | undefined;
}

/** The opened database. */
export class Database {
  readonly id: string;
  readonly #settings: DatabaseSettings;

  constructor(settings: DatabaseSettings) {
    this.#settings = settings;
    this.id = settings.id;
  }

  /** What is passed as the time: `null` has the server read its clock. */
  get at(): number | null {
    return this.#settings.now?.() ?? null;
  }

  /** The text with `@.` replaced by the schema. */
  text(sql: string): string {
    return inSchema(sql, this.#settings.schema);
  }

  /** Runs one statement as a transaction. Again, when the server asks for that. */
  async run(sql: string, values: readonly unknown[] = []): Promise<PostgresResult> {
    for (let attempt = 1; ; attempt++) {
      try {
        return await this.#once(sql, values);
      } catch (error) {
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

  /** Runs one statement on a connection, in whatever transaction it is. */
  async on(
    client: PostgresClient,
    sql: string,
    values: readonly unknown[] = [],
  ): Promise<readonly Row[]> {
    const types: PostgresTypes = TYPES;
    return (await client.query({ text: this.text(sql), values, types })).rows;
  }

  /**
   * Lends a connection with a transaction open. Commits when `work` returns, rolls back when it
   * throws; what it throws is passed on as it is.
   */
  async transaction<T>(
    work: (client: PostgresPoolClient) => Promise<T>,
    ambiguous: (error: unknown) => Promise<void> = async (error) => {
      throw storageError(error);
    },
  ): Promise<T> {
    const client = await this.connect();
    let broken: Error | undefined;
    try {
      await client.query({ text: "BEGIN ISOLATION LEVEL READ COMMITTED" });
      let result: T;
      try {
        result = await work(client);
      } catch (error) {
        broken = await rollback(client);
        throw error;
      }
      try {
        await client.query({ text: "COMMIT" });
      } catch (error) {
        broken = error as Error;
        await ambiguous(error);
      }
      return result;
    } finally {
      client.release(broken);
    }
  }

  async connect(): Promise<PostgresPoolClient> {
    try {
      return await this.#settings.pool.connect();
    } catch (error) {
      throw storageError(error);
    }
  }

  async #once(sql: string, values: readonly unknown[]): Promise<PostgresResult> {
    const { pool, readCommitted } = this.#settings;
    const query = { text: this.text(sql), values, types: TYPES };
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
    await client.query({ text: "ROLLBACK" });
    return undefined;
  } catch (error) {
    return error as Error;
  }
}
