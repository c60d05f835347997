/** What SQLite itself says about a row: how many commits there were, and how safe they are. */
import { closeSync, openSync, readSync } from "node:fs";
import { endianness } from "node:os";
import { DatabaseSync } from "node:sqlite";

/** Where the header of a WAL index counts its write transactions (`iChange`, sqlite.org/walformat). */
const CHANGE_COUNTER_AT = 8;

/** Write transactions of a database in WAL mode, of all its connections; at least one is open. */
export function walCommits(path: string): number {
  const file = openSync(`${path}-shm`, "r");
  try {
    const bytes = Buffer.alloc(4);
    readSync(file, bytes, 0, 4, CHANGE_COUNTER_AT);
    return endianness() === "LE" ? bytes.readUInt32LE() : bytes.readUInt32BE();
  } finally {
    closeSync(file);
  }
}

/** What `PRAGMA synchronous` in WAL mode means for what was committed last. */
export function durabilityOf(synchronous: number): string {
  if (synchronous >= 2) return "WAL, synchronous=FULL: on disk at each commit";
  if (synchronous === 1) return "WAL, synchronous=NORMAL: last commits lost on power failure";
  return "WAL, synchronous=OFF: may be corrupt after power failure";
}

const connections = new Set<DatabaseSync>();
let watching = false;

/**
 * From now on remembers every `node:sqlite` connection that runs a statement, so that the setting an
 * engine really works with can be read from its own connections. Legal twice.
 */
export function watchConnections(): void {
  if (watching) return;
  watching = true;
  const prototype: { exec: Exec } = DatabaseSync.prototype;
  const { exec } = prototype;
  prototype.exec = function watched(sql) {
    connections.add(this);
    exec.call(this, sql);
  };
}

type Exec = (this: DatabaseSync, sql: string) => void;

/** The weakest `PRAGMA synchronous` of the connections that were seen and are open. */
export function weakestSynchronous(): number {
  const open = [...connections].filter((connection) => connection.isOpen);
  if (open.length === 0) throw new Error("no open SQLite connection was seen");
  return Math.min(...open.map(synchronousOf));
}

/** `PRAGMA synchronous` of a connection: 0 OFF, 1 NORMAL, 2 FULL, 3 EXTRA. */
export function synchronousOf(connection: DatabaseSync): number {
  return Number(connection.prepare("PRAGMA synchronous").get()?.["synchronous"]);
}
