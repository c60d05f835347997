/**
 * The mark of a database whose work was moved to another storage. Opened again, it would hand
 * everything over a second time, and what is added to it would be handed over by nobody.
 */
import { BatchworkError } from "../../core/errors.ts";
import type { PromotionMark, PromotionPlace } from "../promotion.ts";
import { prepare, type SqliteHandle } from "./handle.ts";

/** The mark as it is stored. */
export interface StoredMark extends PromotionMark {
  /** Names the source. */
  readonly source: string;
  /** Tells one run of `promote` from another. */
  readonly attempt: string;
}

const MARKED = "SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'batchwork_moved'";

const READ = "SELECT source, attempt, state, target, place FROM batchwork_moved";

const TABLE = `CREATE TABLE IF NOT EXISTS batchwork_moved (
  id INTEGER PRIMARY KEY CHECK (id = 1),
  source TEXT NOT NULL,
  attempt TEXT NOT NULL,
  state TEXT NOT NULL CHECK (state IN ('moving', 'moved')),
  target TEXT NOT NULL,
  place TEXT NOT NULL,
  at INTEGER NOT NULL
) STRICT`;

const WRITE = `INSERT OR REPLACE INTO batchwork_moved
    (id, source, attempt, state, target, place, at)
  VALUES (1, ?, ?, 'moving', ?, ?, ?)`;

/** What a trigger raises, and what the error of a statement that it refused begins with. */
const RAISED = "batchwork: moved to ";

/**
 * Processes that have the database open already, of whatever version, are refused by triggers:
 * nobody else would notice an item that is added here after the move.
 */
const TRIGGERS = `SELECT format(
    'CREATE TRIGGER %s_moved_%s BEFORE %s ON %s WHEN EXISTS (SELECT 1 FROM batchwork_moved) '
      || 'BEGIN SELECT RAISE(ABORT, %Q); END',
    t.name, lower(e.column1), e.column1, t.name, ? || ?) AS sql
  FROM sqlite_schema AS t, (VALUES ('INSERT'), ('UPDATE'), ('DELETE')) AS e
  WHERE t.type = 'table' AND t.name GLOB 'batchwork_*'
    AND t.name NOT IN ('batchwork_moved', 'batchwork_migrations')`;

const OLD_TRIGGERS = `SELECT format('DROP TRIGGER %s', name) AS sql FROM sqlite_schema
  WHERE type = 'trigger' AND name GLOB 'batchwork_*_moved_*'`;

/** What an earlier promotion left, if one did. */
export function readMark(handle: SqliteHandle): StoredMark | null {
  if (prepare(handle, MARKED).get() === undefined) return null;
  const row = prepare(handle, READ).get() as
    | (Pick<StoredMark, "source" | "attempt" | "state"> & {
        readonly target: string;
        readonly place: string;
      })
    | undefined;
  if (row === undefined) return null;
  const { source, attempt, state, target: id, place: name } = row;
  return { source, attempt, state, target: { id, name } };
}

/** Throws `STORAGE_MOVED` when the work of this database is, or may be, elsewhere. */
export function refuseMoved(handle: SqliteHandle): void {
  const mark = readMark(handle);
  if (mark === null) return;
  const { state, target } = mark;
  const advice =
    state === "moved"
      ? "its work was moved there: open that storage instead"
      : "a promotion did not get to its end: run promote with the same two storages again";
  throw movedError(`The database belongs to ${target.name}; ${advice}.`, target);
}

/** What a statement failed with because of the mark, told to the caller. */
export function movedFailure(reason: string): BatchworkError | undefined {
  if (!reason.startsWith(RAISED)) return undefined;
  const place = reason.slice(RAISED.length);
  return movedError(`The work of this database is moved to ${place}: open that storage.`, place);
}

function movedError(message: string, value: unknown): BatchworkError {
  return new BatchworkError("STORAGE_MOVED", message, { field: "path", value });
}

/** Has everybody refused from the commit of this transaction on. */
export function mark(
  handle: SqliteHandle,
  source: string,
  attempt: string,
  target: PromotionPlace,
  now: number,
): void {
  clearMark(handle);
  handle.exec(TABLE);
  const triggers = prepare(handle, TRIGGERS).all(RAISED, target.name);
  for (const { sql } of triggers as { readonly sql: string }[]) handle.exec(sql);
  prepare(handle, WRITE).run(source, attempt, target.id, target.name, now);
}

/** The target is complete. */
export function finishMark(handle: SqliteHandle, source: string): void {
  prepare(handle, "UPDATE batchwork_moved SET state = 'moved' WHERE source = ?").run(source);
}

/** Everybody may work on the database again. */
export function clearMark(handle: SqliteHandle): void {
  for (const { sql } of prepare(handle, OLD_TRIGGERS).all() as { readonly sql: string }[]) {
    handle.exec(sql);
  }
  handle.exec("DROP TABLE IF EXISTS batchwork_moved");
}
