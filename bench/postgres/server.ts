/** The server that is measured, and the databases the rows get on it. */
import { mkdirSync } from "node:fs";
import pg from "pg";
import { startServer } from "../../packages/batchwork/test/postgres/server.ts";

export interface BenchServer {
  /** What was measured on, for the report. */
  readonly facts: ServerFacts;
  readonly withDatabases: WithDatabases;
  readonly stop: () => Promise<void>;
}

/** Runs `work` with the URLs of as many empty databases, and drops them. */
export type WithDatabases = <R>(
  count: number,
  work: (urls: readonly string[]) => Promise<R>,
) => Promise<R>;

/** Where the server came from, its version, and the settings that decide about speed and safety. */
export type ServerFacts = Readonly<Record<string, string>>;

const SETTINGS = [
  "server_version",
  "fsync",
  "full_page_writes",
  "synchronous_commit",
  "shared_buffers",
  "wal_level",
  "max_wal_size",
  "checkpoint_timeout",
  "autovacuum",
  "autovacuum_naptime",
  "max_connections",
  "jit",
];

/**
 * Starts a server with a folder on the disk that `root` is on and every setting as the server has
 * it, or takes the one `DATABASE_URL` names.
 */
export async function startBenchServer(root: string): Promise<BenchServer> {
  mkdirSync(root, { recursive: true });
  const server = await startServer(process.env, { root, settings: {} });
  const interrupted = (): void => void server.stop().finally(() => process.exit(130));
  const stop = async (): Promise<void> => {
    for (const signal of SIGNALS) process.off(signal, interrupted);
    await server.stop();
  };
  for (const signal of SIGNALS) process.once(signal, interrupted);
  try {
    const facts = await on(server.url, async (client) => factsOf(client, server.origin));
    return { facts, withDatabases: databasesOn(server.url), stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

/** Whoever interrupts a run is not left with its server. */
const SIGNALS = ["SIGINT", "SIGTERM"] as const;

/** Databases on the server that `url` names, by someone who may make them. */
export function databasesOn(url: string): WithDatabases {
  let made = 0;
  return async (count, work) => {
    const names = Array.from({ length: count }, () => `batchwork_bench_${process.pid}_${++made}`);
    await on(url, async (client) => {
      for (const name of names) await client.query(`CREATE DATABASE ${name}`);
    });
    try {
      return await work(names.map((name) => at(url, name)));
    } finally {
      await on(url, async (client) => {
        for (const name of names) await client.query(`DROP DATABASE ${name} WITH (FORCE)`);
      });
    }
  };
}

/** What the settings of the server promise for what was committed last. */
export async function durabilityAt(url: string): Promise<string> {
  return on(url, async (client) => {
    const facts = await settingsOf(client);
    const off = ["fsync", "full_page_writes", "synchronous_commit"].filter(
      (name) => facts[name] === "off",
    );
    return off.length === 0 ? "on disk at each commit" : `may be lost: ${off.join(", ")} off`;
  });
}

async function factsOf(client: pg.Client, origin: string): Promise<ServerFacts> {
  return { origin, ...(await settingsOf(client)) };
}

async function settingsOf(client: pg.Client): Promise<ServerFacts> {
  const { rows } = await client.query<{ name: string; value: string }>(
    "SELECT name, current_setting(name) AS value FROM unnest($1::text[]) AS name",
    [SETTINGS],
  );
  return Object.fromEntries(rows.map(({ name, value }) => [name, value]));
}

async function on<R>(url: string, work: (client: pg.Client) => Promise<R>): Promise<R> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    return await work(client);
  } finally {
    await client.end();
  }
}

/**
 * The same database for a session that compiles no queries. Tables that were just made have no
 * statistics, so the planner takes short queries for long ones, and peers are slowed by that.
 */
export function withoutJit(url: string): string {
  const changed = new URL(url);
  changed.searchParams.set("options", "-c jit=off");
  return changed.href;
}

function at(url: string, database: string): string {
  const changed = new URL(url);
  changed.pathname = `/${database}`;
  return changed.href;
}
