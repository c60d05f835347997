/** Opening: a pool, a schema that is up to date, and a server that keeps what was promised. */
import { BatchworkError } from "../../core/errors.ts";
import type { StorageEnv } from "../storage.ts";
import { Announcer } from "./announcements.ts";
import { isPool, TYPES, type OwnPool, type PostgresClient, type PostgresPool } from "./client.ts";
import { Database } from "./database.ts";
import { openError } from "./failure.ts";
import { Listener } from "./listener.ts";
import { borrow, giveBack } from "./lending.ts";
import { migrate } from "./migrate.ts";
import { routeOf } from "./pooler.ts";
import { inSchema } from "./statements.ts";

/** `"full"`: what was committed survives a power cut. `"relaxed"`: as the server is set. */
export type Durability = "full" | "relaxed";

/** Where the data are and how they are kept, checked and complete. */
export interface ConnectionSettings {
  readonly source: { readonly connectionString: string } | { readonly pool: PostgresPool };
  readonly schema: string;
  readonly durability: Durability;
  /** False: nothing is announced and nobody listens. Default true. */
  readonly notifications?: boolean;
  /** Default {@link REPLY_TIMEOUT_MS}. */
  readonly replyTimeoutMs?: number;
  /** Storage time in place of the server's clock; tests only. */
  readonly now?: (() => number) | undefined;
}

/** An open database, and how to close it. */
export interface Connection {
  readonly database: Database;
  readonly announce: (ms: number) => void;
  /** Begins to hear what others announce, if it has not begun yet. */
  readonly listen: () => void;
  readonly close: () => Promise<void>;
}

/** How long a statement may take before its connection is given up, ms. */
export const REPLY_TIMEOUT_MS = 30_000;

/** How long an own pool tries to connect, or waits for a connection, ms. */
const CONNECT_TIMEOUT_MS = 10_000;

/** An idle connection whose other end is gone is found out within about twice that, ms. */
const KEEP_ALIVE_MS = 10_000;

/** The oldest server that has what the functions need. */
const SERVER_VERSION_MIN = 140_000;

const SETTINGS = `SELECT current_setting('server_version_num')::int AS version,
  current_setting('fsync') AS fsync,
  current_setting('full_page_writes') AS full_page_writes,
  current_setting('synchronous_commit') AS synchronous_commit,
  current_setting('default_transaction_isolation') AS isolation`;

const META = "SELECT id, gen_random_uuid()::text AS sender FROM @.meta";

export async function openConnection(
  settings: ConnectionSettings,
  env: StorageEnv,
): Promise<Connection> {
  const { clock } = env;
  const { source, schema, now, replyTimeoutMs = REPLY_TIMEOUT_MS } = settings;
  const own = "connectionString" in source ? await makePool(source.connectionString) : undefined;
  const pool = own ?? (source as { readonly pool: PostgresPool }).pool;
  const close = async (): Promise<void> => own?.end();
  try {
    const client = await borrow(pool);
    let fit = false;
    try {
      const readCommitted = await secure(client, settings.durability);
      await migrate(client, schema);
      const meta = await client.query({ text: inSchema(META, schema), types: TYPES });
      const [id, sender] = ["id", "sender"].map((name) => String(meta.rows[0]?.[name])) as [
        string,
        string,
      ];
      const prepares = (await routeOf(client, replyTimeoutMs)) === "direct";
      fit = true;
      const database = new Database({
        pool,
        clock,
        schema,
        id,
        readCommitted,
        prepares,
        now,
        replyTimeoutMs,
      });
      if (settings.notifications === false) {
        return { database, announce: () => undefined, listen: () => undefined, close };
      }
      return { database, ...notifying({ database, pool, env, id, sender, close }) };
    } finally {
      giveBack(client, !fit);
    }
  } catch (error) {
    await close();
    throw openError(error);
  }
}

interface Notifying {
  readonly database: Database;
  readonly pool: PostgresPool;
  readonly env: StorageEnv;
  readonly id: string;
  readonly sender: string;
  readonly close: () => Promise<void>;
}

/** Listens, and announces what is to be announced. */
function notifying(parts: Notifying): Omit<Connection, "database"> {
  const { database, pool, env, id, sender, close } = parts;
  const { clock, announced = () => undefined, warn = () => undefined } = env;
  const channel = `batchwork_${id}`;
  const listener = new Listener({ pool, clock, channel, sender, announced, warn });
  const announcer = new Announcer({ database, listener, clock, channel, sender });
  return {
    announce: (ms) => announcer.announce(ms),
    listen: () => listener.start(),
    close: async () => {
      listener.close();
      await announcer.close();
      await close();
    },
  };
}

/** Loaded when needed: somebody who lends a pool may have it from elsewhere. */
async function makePool(connectionString: string): Promise<OwnPool> {
  let pool: unknown;
  try {
    const { default: pg } = await import("pg");
    pool = new pg.Pool({
      connectionString,
      connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
      keepAlive: true,
      keepAliveInitialDelayMillis: KEEP_ALIVE_MS,
    });
  } catch (cause) {
    const message = "postgres: the package pg could not be loaded: install it beside batchwork.";
    throw new BatchworkError("STORAGE_FAILED", message, { field: "pg", cause });
  }
  if (!isPool(pool)) throw new Error("A pool of pg has the shape of one.");
  const own = pool as OwnPool;
  // A connection that breaks while nobody uses it is replaced when somebody needs one.
  own.on("error", () => undefined);
  return own;
}

/** Checks what the server promises. True when statements run under READ COMMITTED by themselves. */
async function secure(client: PostgresClient, durability: Durability): Promise<boolean> {
  const { rows } = await client.query({ text: SETTINGS, types: TYPES });
  const found = rows[0] as Readonly<Record<string, unknown>>;
  const version = found["version"] as number;
  if (version < SERVER_VERSION_MIN) {
    const message = `The server has version ${version}; at least ${SERVER_VERSION_MIN} is needed.`;
    throw new BatchworkError("STORAGE_FAILED", message, { field: "version", value: version });
  }
  if (durability === "full") {
    for (const field of ["fsync", "full_page_writes", "synchronous_commit"]) {
      if (found[field] !== "off") continue;
      const message =
        `${field} is off, so a crash of the server may take what was committed: ` +
        'turn it on, or use durability: "relaxed".';
      throw new BatchworkError("NOT_DURABLE", message, { field, value: "off" });
    }
  }
  return found["isolation"] === "read committed";
}
