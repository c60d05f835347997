/** The table that the workers of a campaign process, and what they leave of it. */
import { DatabaseSync } from "node:sqlite";

export const PARTITIONS = ["north", "south"] as const;

/** A connection that waits for the others. */
export function connect(path: string): DatabaseSync {
  const database = new DatabaseSync(path);
  database.exec("PRAGMA journal_mode = WAL; PRAGMA busy_timeout = 5000");
  return database;
}

export function createTable(database: DatabaseSync): void {
  database.exec(`
    CREATE TABLE work (id INTEGER PRIMARY KEY, part TEXT NOT NULL);
    CREATE TABLE done (id INTEGER NOT NULL);
    CREATE INDEX done_id ON done (id)`);
}
