/** SQL about tables of the user's. Names are quoted here; values are always parameters. */
import type { TableQuery } from "../../tables.ts";

/** A column as the server knows it. */
export interface Column {
  readonly name: string;
  /** Its type, as one writes it after `::`. */
  readonly type: string;
}

/** A table as the statements need it. */
export interface TableParts extends Omit<TableQuery, "columns"> {
  /** All columns that are read. */
  readonly columns: readonly string[];
  /** The key's columns, in its order. */
  readonly keyColumns: readonly Column[];
}

/** What a walk asks for: which ends its range has. */
export interface Ends {
  readonly after: boolean;
  readonly to: boolean;
}

/** The name of a key's column as text. */
export function keyName(place: number): string {
  return `batchwork_key_${place}`;
}

/**
 * Rows, or only their keys, in the order of the key; the parameters are those of `where`, the ends,
 * and a limit. Keys are read as text: the driver's own values may be rounded.
 */
export function pageText(parts: TableParts, what: "rows" | "keys", ends: Ends): string {
  const { columns, keyColumns } = parts;
  let place = parts.where?.values.length ?? 0;
  const bound = (): string => keyColumns.map(({ type }) => `$${++place}::text::${type}`).join(", ");
  const conditions = [
    ...condition(parts),
    ...(ends.after ? [`(${keys(parts)}) > (${bound()})`] : []),
    ...(ends.to ? [`(${keys(parts)}) <= (${bound()})`] : []),
  ];
  const selected = [...(what === "rows" ? columns.map(quoted) : []), ...keyTexts(parts)];
  return `SELECT ${selected.join(", ")} FROM ${tableName(parts.table)} ${filter(conditions)}
    ORDER BY ${keys(parts)} LIMIT $${++place}`;
}

export function countText(parts: TableParts): string {
  return `SELECT count(*)::text AS count
    FROM ${tableName(parts.table)} ${filter(condition(parts))}`;
}

/** The key of every so many rows; the parameters are those of `where`, then how many. */
export function cutText(parts: TableParts): string {
  const place = (parts.where?.values.length ?? 0) + 1;
  return `SELECT ${keyTexts(parts).join(", ")} FROM (
      SELECT ${keys(parts)}, row_number() OVER (ORDER BY ${keys(parts)}) AS batchwork_place
      FROM ${tableName(parts.table)} ${filter(condition(parts))}) AS numbered
    WHERE batchwork_place % $${place}::bigint = 0 ORDER BY batchwork_place`;
}

/** Columns of a table, by its name. */
export const COLUMNS = `SELECT attname AS name, format_type(atttypid, atttypmod) AS type,
    attnotnull AS required, attnum AS place
  FROM pg_attribute WHERE attrelid = to_regclass($1) AND attnum > 0 AND NOT attisdropped
  ORDER BY attnum`;

/** Its unique indexes that hold every row, in the collations of their columns. */
export const INDEXES = `SELECT indexrelid::regclass::text AS name, indkey::text AS places
  FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid JOIN pg_am ON pg_am.oid = relam
  WHERE indrelid = to_regclass($1) AND indisunique AND indisvalid AND amname = 'btree'
    AND indpred IS NULL AND indexprs IS NULL AND indnkeyatts = indnatts
    AND NOT EXISTS (
      SELECT FROM unnest(indkey::int[], indcollation::oid[]) AS part(place, collation_id)
      JOIN pg_attribute ON attrelid = indrelid AND attnum = part.place
      WHERE attcollation <> part.collation_id)`;

/** Rows that the transaction has changed, but for those of one schema. */
export const CHANGES = `SELECT coalesce(sum(n_tup_ins + n_tup_upd + n_tup_del), 0)::int AS changes
  FROM pg_stat_xact_user_tables WHERE schemaname <> $1`;

/** A name as the server reads it: `schema.table`, or a table on the search path. */
export function tableName(table: string): string {
  const dot = table.indexOf(".");
  if (dot === -1) return quoted(table);
  return `${quoted(table.slice(0, dot))}.${quoted(table.slice(dot + 1))}`;
}

/** Dates and times have a text that is read back alike, whatever the session's settings. */
const MOMENT = /^(?:date|time|timestamp)/v;

function keyTexts({ keyColumns }: TableParts): string[] {
  return keyColumns.map(({ name, type }, place) => {
    const text = MOMENT.test(type) ? `to_json(${quoted(name)}) #>> '{}'` : `${quoted(name)}::text`;
    return `${text} AS ${quoted(keyName(place))}`;
  });
}

function keys({ key }: TableParts): string {
  return key.map(quoted).join(", ");
}

/** On a line of its own: a comment at its end must not hide what follows. */
function condition({ where }: TableParts): string[] {
  return where === null ? [] : [`(${where.sql}\n)`];
}

function filter(conditions: readonly string[]): string {
  return conditions.length === 0 ? "" : `WHERE ${conditions.join(" AND ")}`;
}

function quoted(name: string): string {
  return `"${name.replaceAll('"', '""')}"`;
}
