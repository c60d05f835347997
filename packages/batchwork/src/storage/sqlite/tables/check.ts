/** Whether a table can be walked through in the order of a key. */
import { BatchworkError } from "../../../core/errors.ts";
import type { TableQuery } from "../../tables.ts";
import { prepare, type SqliteHandle } from "../handle.ts";
import {
  COLUMNS,
  explained,
  INDEX_COLUMNS,
  INDEXES,
  nullText,
  pageText,
  placeOf,
  type TableParts,
} from "./statements.ts";

interface Column {
  readonly name: string;
  readonly type: string;
  readonly required: number;
  /** Place in the primary key; 0 for none. */
  readonly place: number;
}

/** Throws `TABLE_INVALID`. */
export function checkTable(handle: SqliteHandle, query: TableQuery): TableParts {
  const columns = columnsOf(handle, query);
  const parts = { ...query, index: indexOf(handle, query, columns) };
  refuseSorting(handle, parts);
  refuseNulls(handle, parts, columns);
  return parts;
}

function columnsOf(handle: SqliteHandle, query: TableQuery): Column[] {
  const { table, key, columns } = query;
  const [schema, name] = placeOf(table);
  const found = prepare(handle, COLUMNS).all(name, schema) as Column[];
  if (found.length === 0) throw invalid(query, "there is no such table", "table", table);
  for (const [field, wanted] of [["key", key] as const, ["columns", columns ?? []] as const]) {
    for (const column of wanted) {
      if (found.some((one) => one.name === column)) continue;
      throw invalid(query, `it has no column "${column}"`, field, column);
    }
  }
  return found;
}

/** The index to walk along; `null` for the number that every row has. */
function indexOf(
  handle: SqliteHandle,
  query: TableQuery,
  columns: readonly Column[],
): string | null {
  const { table, key } = query;
  const [schema, name] = placeOf(table);
  const indexes = prepare(handle, INDEXES).all(name, schema) as { name: string }[];
  for (const index of indexes) {
    const of = prepare(handle, INDEX_COLUMNS).all(index.name, schema) as { name: string | null }[];
    const same = of.length === key.length && of.every((one, n) => one.name === key[n]);
    if (same) return index.name;
  }
  const primary = columns.filter(({ place }) => place > 0);
  const [only] = primary;
  const numbered = primary.length === 1 && only?.type.toUpperCase() === "INTEGER";
  if (numbered && key.length === 1 && key[0] === only.name) return null;
  const problem = "it has no unique index, without a condition, over exactly these columns";
  throw invalid(query, `${problem} in this order: make one`, "key", key);
}

/** An index in another collation than the column's would have to be sorted, page by page. */
function refuseSorting(handle: SqliteHandle, parts: TableParts): void {
  const text = pageText(parts, "rows", { after: true, to: true });
  let plan: { detail: string }[];
  try {
    const values = [...(parts.where?.values ?? []), ...parts.key, ...parts.key, 1];
    plan = prepare(handle, explained(text)).all(...values.map(() => null)) as typeof plan;
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw invalid(parts, `SQLite says: ${reason}`, "where", parts.where?.sql, cause);
  }
  if (!plan.some(({ detail }) => detail.includes("TEMP B-TREE"))) return;
  const problem = `the index "${String(parts.index)}" does not yield the order of its columns`;
  throw invalid(parts, `${problem}: give it the collations of the columns`, "key", parts.key);
}

/** Rows whose key is NULL come before all others, and are after no cursor. */
function refuseNulls(handle: SqliteHandle, parts: TableParts, columns: readonly Column[]): void {
  if (parts.index === null) return;
  for (const [n, name] of parts.key.entries()) {
    if (columns.some((column) => column.name === name && column.required === 1)) continue;
    // Only the index's first column can be searched for; behind it every row would be looked at.
    const held = n > 0 || prepare(handle, nullText(parts, name)).get() !== undefined;
    if (!held) continue;
    const problem = n > 0 ? "may be NULL: declare it NOT NULL" : "is NULL in some row";
    throw invalid(parts, `column "${name}" of the key ${problem}`, "key", name);
  }
}

function invalid(
  { table, key }: TableQuery,
  problem: string,
  field: string,
  value: unknown,
  cause?: unknown,
): BatchworkError {
  const message = `Table "${table}" cannot be walked through by (${key.join(", ")}): ${problem}.`;
  return new BatchworkError("TABLE_INVALID", message, { field, value, cause });
}
