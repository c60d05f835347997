/** Brings the schema up to date, one numbered step after the other. */
import { BatchworkError } from "../../core/errors.ts";
import type { PostgresClient } from "./client.ts";
import { inSchema } from "./statements.ts";
import { MIGRATIONS } from "./migrations/index.ts";

/** FNV-1a: the same text is the same number in every version. */
const FNV_BASIS = 0x811c9dc5;
const FNV_PRIME = 0x01000193;

/** What a lock is about; the classes of one schema follow one another. */
const LOCKS = ["queues", "incarnations", "notices", "migrations", "loops", "pending"] as const;

/** The first half of an advisory lock's key. Databases and schemas do not share locks. */
function lockClass(schema: string, lock: (typeof LOCKS)[number]): number {
  let hash = FNV_BASIS;
  for (const character of `batchwork ${schema}`) {
    hash = Math.imul(hash ^ (character.codePointAt(0) as number), FNV_PRIME);
  }
  return (hash & ~7) | LOCKS.indexOf(lock);
}

/**
 * `CREATE SCHEMA` takes no dot, so a block puts the name together. Whoever may not create one may
 * have been given one: IF NOT EXISTS asks for the right first.
 */
const CREATE = `DO $do$ BEGIN
  IF to_regnamespace(rtrim('@.', '.')) IS NULL THEN
    EXECUTE format('CREATE SCHEMA IF NOT EXISTS %s', rtrim('@.', '.'));
  END IF;
  CREATE TABLE @.migrations (
    id int PRIMARY KEY,
    applied_at timestamptz NOT NULL DEFAULT now()
  );
END $do$`;

const NEWEST = "SELECT coalesce(max(id), 0) AS id FROM @.migrations";

const APPLIED = "INSERT INTO @.migrations (id) VALUES ($1)";

/** The text of a migration for one schema. */
function textFor(migration: string, schema: string): string {
  let text = inSchema(migration, schema);
  for (const lock of LOCKS) text = text.replaceAll(`@${lock}`, String(lockClass(schema, lock)));
  return text;
}

/**
 * Number of the newest migration applied; 0 for a database without any. Throws `SCHEMA_NEWER`.
 */
async function schemaVersion(client: PostgresClient, schema: string): Promise<number> {
  // Not to_regclass: behind the lock of a migration it would still know nothing of the schema.
  const found = await client.query({
    text: "SELECT 1 AS one FROM pg_tables WHERE schemaname = $1 AND tablename = 'migrations'",
    values: [schema],
  });
  if (found.rows.length === 0) return 0;
  const newest = await client.query({ text: inSchema(NEWEST, schema) });
  const id = Number(newest.rows[0]?.["id"]);
  if (id <= MIGRATIONS.length) return id;
  const message =
    `The database has schema ${id}, this version of Batchwork knows ${MIGRATIONS.length}: ` +
    "use the newer version.";
  throw new BatchworkError("SCHEMA_NEWER", message, { field: "schema", value: id });
}

/** Applies what is missing, in one transaction; of several processes one does it. */
export async function migrate(client: PostgresClient, schema: string): Promise<void> {
  if ((await schemaVersion(client, schema)) === MIGRATIONS.length) return;
  await client.query({ text: "BEGIN ISOLATION LEVEL READ COMMITTED" });
  try {
    const key = lockClass(schema, "migrations");
    await client.query({ text: "SELECT pg_advisory_xact_lock($1, 0)", values: [key] });
    let version = await schemaVersion(client, schema);
    if (version === 0) {
      await client.query({ text: inSchema(CREATE, schema) });
    }
    for (const migration of MIGRATIONS.slice(version)) {
      version++;
      await client.query({ text: textFor(migration, schema) });
      await client.query({
        text: inSchema(APPLIED, schema),
        values: [version],
      });
    }
    await client.query({ text: "COMMIT" });
  } catch (error) {
    await client.query({ text: "ROLLBACK" }).catch(() => undefined);
    throw error;
  }
}
