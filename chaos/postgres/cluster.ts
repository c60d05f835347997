/** A server of the campaign's own, that may be crashed, and its databases. */
import pg from "pg";

import { startServer, type TestServer } from "../../packages/batchwork/test/postgres/server.ts";
import { EFFECTS_TABLE } from "../work.ts";

/** What sessions of others hold open: transactions, and locks of any kind. */
const OPEN = `SELECT (SELECT count(*) FROM pg_stat_activity
    WHERE datname = $1 AND backend_type = 'client backend' AND pid <> pg_backend_pid()
      AND (state LIKE 'idle in transaction%' OR backend_xid IS NOT NULL))
  + (SELECT count(*) FROM pg_locks AS l JOIN pg_stat_activity AS a USING (pid)
    WHERE a.datname = $1 AND a.backend_type = 'client backend' AND a.pid <> pg_backend_pid()
  ) AS open`;

/** Tables that are empty when nothing is left to do. */
const EMPTY = ["inbox", "waiting", "members", "payloads"];

export class Cluster {
  /** Connections to the server's own database. */
  readonly admin: pg.Pool;
  readonly #server: TestServer;
  readonly #databases: Database[] = [];

  private constructor(server: TestServer) {
    this.#server = server;
    this.admin = poolOf(server.url);
  }

  /** Starts one. Throws where there is none to start: somebody else's may not be crashed. */
  static async open(): Promise<Cluster> {
    return new Cluster(await startServer({ ...process.env, DATABASE_URL: "" }));
  }

  get port(): number {
    return Number(new URL(this.#server.url).port);
  }

  /** Makes a database, with the table of the effects. */
  async database(): Promise<Database> {
    const name = `chaos_${this.#databases.length}`;
    await this.admin.query(`CREATE DATABASE ${name}`);
    const database = new Database(name, this.#server.url);
    this.#databases.push(database);
    await database.prepare();
    return database;
  }

  async crash(): Promise<void> {
    await this.#server.own?.crash();
  }

  async start(): Promise<void> {
    await this.#server.own?.start();
  }

  async stop(): Promise<void> {
    for (const database of this.#databases) await database.end();
    await this.admin.end();
    await this.#server.stop();
  }
}

/** A database of a campaign. */
export class Database {
  readonly name: string;
  readonly #server: URL;
  readonly #pool: pg.Pool;

  constructor(name: string, server: string) {
    this.name = name;
    this.#server = new URL(server);
    this.#pool = poolOf(this.url(Number(this.#server.port)));
  }

  /** Its address behind a port of this machine. */
  url(port: number): string {
    const url = new URL(this.#server);
    url.port = String(port);
    url.pathname = `/${this.name}`;
    return url.href;
  }

  async prepare(): Promise<void> {
    await this.#pool.query(
      `CREATE TABLE ${EFFECTS_TABLE} (uid text NOT NULL, batch text NOT NULL);
       CREATE INDEX ON ${EFFECTS_TABLE} (uid)`,
    );
  }

  async effects(): Promise<{ readonly uid: string; readonly batch: string }[]> {
    const { rows } = await this.#pool.query<{ readonly uid: string; readonly batch: string }>(
      `SELECT uid, batch FROM ${EFFECTS_TABLE}`,
    );
    return rows;
  }

  /** How many of these have no effect yet. */
  async missing(uids: readonly string[]): Promise<number> {
    const { rows } = await this.#pool.query<{ readonly uid: string }>(
      `SELECT DISTINCT uid FROM ${EFFECTS_TABLE} WHERE uid = ANY ($1)`,
      [uids],
    );
    return uids.length - rows.length;
  }

  /** Transactions and locks that are open. */
  async open(): Promise<number> {
    const { rows } = await this.#pool.query<{ readonly open: string }>(OPEN, [this.name]);
    return Number(rows[0]?.open);
  }

  /** "ok", or what is left over. */
  async check(): Promise<string> {
    const left: string[] = [];
    for (const table of EMPTY) {
      const { rows } = await this.#pool.query<{ readonly n: number }>(
        `SELECT count(*)::int AS n FROM batchwork.${table}`,
      );
      const n = rows[0]?.n ?? 0;
      if (n > 0) left.push(`${n} rows left in ${table}`);
    }
    return left.length === 0 ? "ok" : left.join(", ");
  }

  async end(): Promise<void> {
    await this.#pool.end();
  }
}

function poolOf(connectionString: string): pg.Pool {
  const pool = new pg.Pool({ connectionString, max: 2 });
  // The server is crashed under it.
  pool.on("error", () => undefined);
  return pool;
}
