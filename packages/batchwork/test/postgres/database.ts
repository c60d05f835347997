/** A database of its own for a test file, on the server of the run. */
import pg from "pg";
import { afterAll, beforeAll, describe, inject } from "vitest";

import { ManualClock } from "../../src/testing/manual-clock.ts";
import { PostgresStorage } from "../../src/storage/postgres/storage.ts";

const server = inject("postgres");

/** `describe` where there is a server; otherwise its tests are skipped, by name (and said aloud). */
export const describePostgres = "url" in server ? describe : describe.skip;

/** False with `BATCHWORK_TEST_NOTIFICATIONS=off`: everything has to pass without them as well. */
export const notifications = process.env["BATCHWORK_TEST_NOTIFICATIONS"] !== "off";

/** Made by the first file of a run that needs it: the schema in place, to be copied. */
const TEMPLATE = "url" in server ? server.template : "";

/** Ids in names of databases: files run in processes of their own. */
const name = `batchwork_${process.pid}`;

/** The database of this file. */
export interface TestDatabase {
  /** Where it is. */
  readonly url: string;
  /** Connections of the file's own. */
  readonly pool: pg.Pool;
}

/** Makes the database before the tests of the file and drops it after them. */
export function testDatabase(): TestDatabase {
  if ("missing" in server) return { url: "", pool: new pg.Pool({ max: 1 }) };
  const url = at(server.url, name);
  const pool = new pg.Pool({ connectionString: url, max: 20 });
  // Dropping the database ends connections that nobody uses.
  pool.on("error", () => undefined);
  beforeAll(async () => {
    await onServer(server.url, async (client) => {
      await client.query("SELECT pg_advisory_lock(1)");
      const { rowCount } = await client.query("SELECT 1 FROM pg_database WHERE datname = $1", [
        TEMPLATE,
      ]);
      if (rowCount === 0) await makeTemplate(server.url, client);
      await client.query(`DROP DATABASE IF EXISTS ${name} WITH (FORCE)`);
      await client.query(`CREATE DATABASE ${name} TEMPLATE ${TEMPLATE}`);
      await client.query("SELECT pg_advisory_unlock(1)");
    });
  });
  afterAll(async () => {
    await pool.end();
    await onServer(server.url, async (client) => {
      await connectionsClosed(client);
      await client.query(`DROP DATABASE IF EXISTS ${name} WITH (FORCE)`);
    });
  });
  return { url, pool };
}

/** Every table that holds what a test leaves behind. */
const TABLES = [
  "queues",
  "payloads",
  "inbox",
  "waiting",
  "groups",
  "group_states",
  "batches",
  "members",
  "incarnations",
  "dead",
  "keys",
  "results",
  "kept",
  "budgets",
  "pools",
  "slices",
  "serial_keys",
  "key_news",
  "cancels",
  "task_results",
  "deliveries",
  "dedup_keys",
  "loops",
  "loop_pings",
  "loop_dead",
  "loop_notes",
];

/** Empties the schema: much quicker than another one, whose functions every connection compiles. */
export async function emptyTables(pool: pg.Pool): Promise<void> {
  await pool.query(TABLES.map((table) => `DELETE FROM batchwork.${table}`).join("; "));
}

async function makeTemplate(url: string, client: pg.Client): Promise<void> {
  await client.query(`DROP DATABASE IF EXISTS ${TEMPLATE}_new`);
  await client.query(`CREATE DATABASE ${TEMPLATE}_new`);
  const source = { connectionString: at(url, `${TEMPLATE}_new`) };
  const storage = new PostgresStorage({ source, schema: "batchwork", durability: "relaxed" });
  await storage.open({ clock: new ManualClock() });
  await storage.close();
  await client.query(`ALTER DATABASE ${TEMPLATE}_new RENAME TO ${TEMPLATE}`);
}

/** A pool has ended before the server knows of it, and whoever is thrown out then complains. */
async function connectionsClosed(client: pg.Client): Promise<void> {
  for (let n = 0; n < 200; n++) {
    const { rowCount } = await client.query(
      "SELECT pg_sleep(0.01) FROM pg_stat_activity WHERE datname = $1 LIMIT 1",
      [name],
    );
    if (rowCount === 0) return;
  }
}

async function onServer(url: string, work: (client: pg.Client) => Promise<void>): Promise<void> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    await work(client);
  } finally {
    await client.end();
  }
}

function at(url: string, database: string): string {
  const changed = new URL(url);
  changed.pathname = `/${database}`;
  return changed.href;
}
