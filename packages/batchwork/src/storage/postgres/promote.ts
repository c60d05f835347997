/** Moving to a PostgreSQL database: everything in one transaction that remembers its source. */
import type { Clock } from "../../core/clock.ts";
import { BatchworkError } from "../../core/errors.ts";
import type {
  LastIds,
  PromotionPart,
  PromotionPlace,
  PromotionReport,
  PromotionRows,
  PromotionTarget,
  PromotionWriter,
} from "../promotion.ts";
import type { PostgresClient } from "./client.ts";
import { openConnection, type Connection, type ConnectionSettings } from "./connection.ts";
import type { Database } from "./database.ts";
import { busyError, isTransient, storageError } from "./failure.ts";
import { COMPLETE, KEEPINGS } from "./promote-rows.ts";

const PLACE = "SELECT current_database() AS name";

/** The time comes second: nothing is written for an earlier one. */
const BEGIN = "SELECT @.begin_promotion($1, $2, $3, $4) AS answer, @.now_ms() AS now";

/** An open promotion of the same source holds this up until it has ended. */
const CLAIM = [
  "SELECT set_config('lock_timeout', '10s', true)",
  "INSERT INTO @.promotions (source) VALUES ($1) ON CONFLICT DO NOTHING RETURNING source",
] as const;

const REPORT = "SELECT report FROM @.promotions WHERE source = $1";

const CONCLUDE = "UPDATE @.promotions SET report = $2 WHERE source = $1";

/** A cursor, so that reading needs no order and no index. */
const DECLARE = "DECLARE batchwork_promotion NO SCROLL CURSOR FOR";
const FETCH = "FETCH 100 FROM batchwork_promotion";
const CLOSE = "CLOSE batchwork_promotion";

type Row = Readonly<Record<string, unknown>>;

/** Opens a connection of its own, whatever else the storage is used for. */
export async function promotionTarget(
  settings: ConnectionSettings,
  clock: Clock,
): Promise<PromotionTarget> {
  const connection = await openConnection({ ...settings, notifications: false }, { clock });
  try {
    const { database } = connection;
    const found = await database.row(PLACE);
    const name = `the PostgreSQL database "${String(found["name"])}", schema "${settings.schema}"`;
    return new PostgresTarget(connection, { id: database.id, name });
  } catch (error) {
    await connection.close();
    throw error;
  }
}

/** Thrown to roll back, when that is how it is meant to end. */
class EndedError extends Error {
  override readonly name = "EndedError";
  readonly report: PromotionReport | null;

  constructor(report: PromotionReport | null) {
    super("The promotion has an answer.");
    this.report = report;
  }
}

class PostgresTarget implements PromotionTarget {
  readonly place: PromotionPlace;
  readonly #connection: Connection;

  constructor(connection: Connection, place: PromotionPlace) {
    this.#connection = connection;
    this.place = place;
  }

  async find(source: string): Promise<PromotionReport | null> {
    const { database } = this.#connection;
    return ended(async () =>
      database.transaction(async (client) => {
        const steps = new Steps(database, client);
        const [timeout, claim] = CLAIM;
        await steps.rows(timeout);
        const claimed = await steps.rows(claim, [source]);
        // Not there, and by now nobody is about to commit it.
        if (claimed.length > 0) throw new EndedError(null);
        return steps.report(source);
      }),
    );
  }

  async receive(
    source: string,
    last: LastIds,
    copy: (writer: PromotionWriter) => Promise<PromotionReport>,
  ): Promise<PromotionReport> {
    const { database } = this.#connection;
    return ended(async () =>
      database.transaction(async (client) => {
        const steps = new Steps(database, client);
        const ids = [last.chunk, last.batch, last.letter];
        const [row] = await steps.rows(BEGIN, [source, ...ids]);
        if (row?.["answer"] === "used") throw usedError(this.place);
        if (row?.["answer"] === "done") throw new EndedError(await steps.report(source));
        const now = database.at ?? (row?.["now"] as number);
        return copy(new PostgresWriter(steps, source, now));
      }),
    );
  }

  async close(): Promise<void> {
    await this.#connection.close();
  }
}

/** Passes on what a transaction was ended with on purpose. */
async function ended<T extends PromotionReport | null>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof EndedError) return error.report as T;
    throw error;
  }
}

function usedError({ name }: PromotionPlace): BatchworkError {
  const message =
    `promote: items were added to ${name} before, and their ids would be given out twice: ` +
    "move to an unused schema (the option schema).";
  return new BatchworkError("PROMOTE_TARGET_USED", message, { field: "to", value: name });
}

/** Statements of one transaction. */
class Steps {
  readonly #database: Database;
  readonly #client: PostgresClient;

  constructor(database: Database, client: PostgresClient) {
    this.#database = database;
    this.#client = client;
  }

  async rows(sql: string, values?: readonly unknown[]): Promise<readonly Row[]> {
    try {
      return await this.#database.on(this.#client, sql, values);
    } catch (error) {
      throw isTransient(error) ? busyError(error) : storageError(error);
    }
  }

  async report(source: string): Promise<PromotionReport> {
    const [row] = await this.rows(REPORT, [source]);
    return JSON.parse(row?.["report"] as string) as PromotionReport;
  }
}

class PostgresWriter implements PromotionWriter {
  readonly #steps: Steps;
  readonly #source: string;
  readonly #now: number;

  constructor(steps: Steps, source: string, now: number) {
    this.#steps = steps;
    this.#source = source;
    this.#now = now;
  }

  async write<P extends PromotionPart>(part: P, rows: readonly PromotionRows[P][]): Promise<void> {
    const json = JSON.stringify(rows);
    for (const sql of KEEPINGS[part].write) await this.#steps.rows(sql, [json, this.#now]);
  }

  async complete(): Promise<void> {
    for (const sql of COMPLETE) await this.#steps.rows(sql);
  }

  async *pages<P extends PromotionPart>(part: P): AsyncGenerator<readonly PromotionRows[P][]> {
    const { read, row } = KEEPINGS[part];
    await this.#steps.rows([DECLARE, read].join(" "));
    for (;;) {
      const page = await this.#steps.rows(FETCH);
      if (page.length === 0) break;
      yield page.map((found) => row(found, this.#now));
    }
    await this.#steps.rows(CLOSE);
  }

  async conclude(report: PromotionReport): Promise<void> {
    await this.#steps.rows(CONCLUDE, [this.#source, JSON.stringify(report)]);
  }
}
