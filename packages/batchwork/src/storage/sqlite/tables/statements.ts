/** SQL about tables of the user's. Names are quoted here; values are always bound. */
import type { TableQuery } from "../../tables.ts";

/** A table as the statements need it. */
export interface TableParts extends TableQuery {
  /** The index that yields the key; `null` for the row's own number. */
  readonly index: string | null;
}

/** What a walk asks for: which ends its range has. */
export interface Ends {
  readonly after: boolean;
  readonly to: boolean;
}

/** Rows, or their keys alone, in the order of the key; bind what `where` takes, ends, a limit. */
export function pageText(parts: TableParts, what: "rows" | "keys", ends: Ends): string {
  const { key, columns } = parts;
  const all = columns === null ? ["*"] : [...new Set([...key, ...columns])].map(quoted);
  const selected = what === "keys" ? list(key) : all.join(", ");
  const conditions = [
    ...condition(parts),
    ...(ends.after ? [`(${list(key)}) > (${marks(key)})`] : []),
    ...(ends.to ? [`(${list(key)}) <= (${marks(key)})`] : []),
  ];
  // The planner looks at what is bound to a bare LIMIT, and prepares again when that changes.
  return `SELECT ${selected} ${from(parts)} ${filter(conditions)}
    ORDER BY ${list(key)} LIMIT ? + 0`;
}

export function countText(parts: TableParts): string {
  return `SELECT count(*) AS count ${from(parts)} ${filter(condition(parts))}`;
}

/** The key of every so many rows; bind what `where` takes, then how many. */
export function cutText(parts: TableParts): string {
  const { key } = parts;
  return `SELECT ${list(key)} FROM (
      SELECT ${list(key)}, row_number() OVER (ORDER BY ${list(key)}) AS batchwork_place
      ${from(parts)} ${filter(condition(parts))})
    WHERE batchwork_place % ? = 0`;
}

/** One row when a column of the key holds a NULL. */
export function nullText(parts: TableParts, column: string): string {
  return `SELECT 1 AS found ${from(parts)} WHERE ${quoted(column)} IS NULL LIMIT 1`;
}

export function explained(sql: string): string {
  return `EXPLAIN QUERY PLAN ${sql}`;
}

export const COLUMNS = `SELECT name, type, "notnull" AS required, pk AS place
  FROM pragma_table_xinfo(?, ?)`;
export const INDEXES = `SELECT name FROM pragma_index_list(?, ?)
  WHERE "unique" = 1 AND partial = 0`;
export const INDEX_COLUMNS = "SELECT name FROM pragma_index_info(?, ?) ORDER BY seqno";
export const CHANGES = "SELECT total_changes() AS changes";

/** `table` as the schema it names, `main` without one, and the table itself. */
export function placeOf(table: string): readonly [schema: string, name: string] {
  const dot = table.indexOf(".");
  return dot === -1 ? ["main", table] : [table.slice(0, dot), table.slice(dot + 1)];
}

function from({ table, index }: TableParts): string {
  const [schema, name] = placeOf(table);
  const hint = index === null ? "NOT INDEXED" : `INDEXED BY ${quoted(index)}`;
  return `FROM ${quoted(schema)}.${quoted(name)} ${hint}`;
}

/** On a line of its own: a comment at its end must not hide what follows. */
function condition({ where }: TableParts): string[] {
  return where === null ? [] : [`(${where.sql}\n)`];
}

function filter(conditions: readonly string[]): string {
  return conditions.length === 0 ? "" : `WHERE ${conditions.join(" AND ")}`;
}

function list(names: readonly string[]): string {
  return names.map(quoted).join(", ");
}

function marks(names: readonly string[]): string {
  return names.map(() => "?").join(", ");
}

function quoted(name: string): string {
  return `"${name.replaceAll('"', '""')}"`;
}
