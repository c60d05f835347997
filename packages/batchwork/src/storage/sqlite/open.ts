/** Opening a database: the right schema, and the durability that was promised. */
import type { Clock } from "../../core/clock.ts";
import { Connection, type Durability } from "./connection.ts";
import { mainFile, type SqliteHandle } from "./handle.ts";
import { isMigrated, migrate } from "./migrate.ts";
import { refuseMoved } from "./moved.ts";
import { storageError, Transactions } from "./transaction.ts";

/** Where the data are and how they are kept, checked and complete. */
export interface SqliteSettings {
  readonly source: { readonly path: string } | { readonly database: SqliteHandle };
  readonly durability: Durability;
  readonly busyTimeoutMs: number;
}

/** What there is while a storage is open. */
export interface Opened {
  readonly connection: Connection;
  readonly transactions: Transactions;
}

/**
 * Throws `SCHEMA_NEWER`, `NOT_DURABLE`, `STORAGE_BUSY`, `STORAGE_FAILED`, or as `refuse` throws;
 * nothing is open then.
 */
export async function openDatabase(
  settings: SqliteSettings,
  clock: Clock,
  refuse: (handle: SqliteHandle) => void = refuseMoved,
): Promise<Opened> {
  const { source, durability, busyTimeoutMs } = settings;
  const connection =
    "path" in source ? await openFile(source.path) : Connection.lend(source.database);
  const transactions = new Transactions(connection, clock, busyTimeoutMs);
  const { handle } = connection;
  try {
    // Asked first: nothing is to be changed about a database that is too new.
    const migrated = await transactions.alone(() => isMigrated(handle));
    await transactions.alone(() => refuse(handle));
    await transactions.alone(() => connection.secure(durability));
    if (!migrated) await transactions.exclusive("write", () => migrate(handle, clock.wallMs()));
    await transactions.alone(() => connection.prepare());
  } catch (error) {
    connection.close();
    throw error;
  }
  return { connection, transactions };
}

/** True when nothing of it would survive the end of the process. */
export function isInMemory({ source }: SqliteSettings): boolean {
  if ("database" in source) return mainFile(source.database) === "";
  const { path } = source;
  return path === "" || path === ":memory:" || /^file:.*(?::memory:|mode=memory)/.test(path);
}

async function openFile(path: string): Promise<Connection> {
  try {
    return await Connection.open(path);
  } catch (error) {
    throw storageError(error);
  }
}
