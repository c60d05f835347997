/** The table that the rows on loops work on: as a real one, with columns that are not of the work. */
import { DatabaseSync } from "node:sqlite";

const SCHEMA = `
  CREATE TABLE emails (
    id INTEGER PRIMARY KEY,
    tenant TEXT NOT NULL,
    recipient TEXT NOT NULL,
    subject TEXT NOT NULL,
    body TEXT NOT NULL,
    status TEXT NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0,
    sent_at INTEGER
  ) STRICT;
  CREATE INDEX emails_waiting ON emails (id) WHERE status = 'new'`;

const INSERT = `INSERT INTO emails (id, tenant, recipient, subject, body, status)
  VALUES (?, ?, ?, ?, ?, 'new')`;

const BODY = "Dear customer, your order has left our warehouse. ".repeat(2);
const PER_TRANSACTION = 5000;

/** The columns that are read of a row. */
export interface Email {
  readonly id: number;
  readonly recipient: string;
  readonly subject: string;
}

/** A connection that keeps what it commits. */
export function connect(path: string): DatabaseSync {
  const database = new DatabaseSync(path);
  database.exec("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA busy_timeout = 5000");
  return database;
}

/** Makes the table, with so many rows that wait; ids count from 0. */
export function fill(database: DatabaseSync, count: number): void {
  database.exec(SCHEMA);
  const insert = database.prepare(INSERT);
  for (let from = 0; from < count; from += PER_TRANSACTION) {
    database.exec("BEGIN IMMEDIATE");
    for (let id = from; id < Math.min(count, from + PER_TRANSACTION); id++) {
      insert.run(id, `tenant ${id % 60}`, `user${id}@example.com`, `Order ${id}`, BODY);
    }
    database.exec("COMMIT");
  }
  database.exec("PRAGMA wal_checkpoint(TRUNCATE)");
}

/** One more row that waits. */
export function insertOne(database: DatabaseSync, id: number): void {
  database.prepare(INSERT).run(id, "tenant 0", `user${id}@example.com`, `Order ${id}`, BODY);
}
