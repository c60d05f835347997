/** Brings the schema up to date, one numbered step after the other. */
import { BatchworkError } from "../../core/errors.ts";
import { prepare, type SqliteHandle } from "./handle.ts";
import { MIGRATIONS } from "./migrations/index.ts";

/** Number of the newest migration applied; 0 for a database without any. Throws `SCHEMA_NEWER`. */
function schemaVersion(handle: SqliteHandle): number {
  const table = prepare(
    handle,
    "SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'batchwork_migrations'",
  ).get();
  if (table === undefined) return 0;
  const newest = prepare(handle, "SELECT coalesce(max(id), 0) AS id FROM batchwork_migrations");
  const { id } = newest.get() as { readonly id: number };
  if (id <= MIGRATIONS.length) return id;
  const message =
    `The database has schema ${id}, this version of Batchwork knows ${MIGRATIONS.length}: ` +
    "use the newer version.";
  throw new BatchworkError("SCHEMA_NEWER", message, { field: "database", value: id });
}

/** True when there is nothing to do. Throws `SCHEMA_NEWER`. */
export function isMigrated(handle: SqliteHandle): boolean {
  return schemaVersion(handle) === MIGRATIONS.length;
}

/** Applies what is missing. Runs in a write transaction, so of several processes one does it. */
export function migrate(handle: SqliteHandle, nowMs: number): void {
  let version = schemaVersion(handle);
  if (version === 0) {
    handle.exec(`CREATE TABLE IF NOT EXISTS batchwork_migrations (
      id INTEGER PRIMARY KEY,
      applied_at INTEGER NOT NULL
    ) STRICT`);
  }
  for (const migration of MIGRATIONS.slice(version)) {
    version++;
    handle.exec(migration);
    prepare(handle, "INSERT INTO batchwork_migrations (id, applied_at) VALUES (?, ?)").run(
      version,
      nowMs,
    );
  }
}
