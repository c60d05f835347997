/** Whether a table can be walked through in the order of a key. */
import { BatchworkError } from "../../../core/errors.ts";
import type { TableQuery } from "../../tables.ts";
import type { Database } from "../database.ts";
import { COLUMNS, INDEXES, tableName, type TableParts } from "./statements.ts";

interface Column {
  readonly name: string;
  readonly type: string;
  readonly required: boolean;
  /** The number by which indexes know it. */
  readonly place: number;
}

/** Throws `TABLE_INVALID`. */
export async function checkTable(database: Database, query: TableQuery): Promise<TableParts> {
  const { table, key } = query;
  const name = tableName(table);
  const found = (await database.rows(COLUMNS, [name])) as unknown as Column[];
  if (found.length === 0) throw invalid(query, "there is no such table", "table", table);
  const keyColumns = key.map((column) => columnOf(query, found, "key", column));
  for (const column of query.columns ?? []) columnOf(query, found, "columns", column);
  const places = keyColumns.map(({ place }) => place).join(" ");
  const indexes = await database.rows(INDEXES, [name]);
  if (!indexes.some((index) => index["places"] === places)) {
    const problem =
      "it has no unique index (btree, without a condition, in the columns' own collations) over " +
      "exactly these columns in this order: make one";
    throw invalid(query, problem, "key", key);
  }
  for (const { name: column, required } of keyColumns) {
    if (required) continue;
    const problem = `column "${column}" of the key may be NULL: declare it NOT NULL`;
    throw invalid(query, problem, "key", column);
  }
  const all = query.columns ?? found.map((one) => one.name);
  return { ...query, columns: [...new Set([...key, ...all])], keyColumns };
}

function columnOf(
  query: TableQuery,
  found: readonly Column[],
  field: string,
  name: string,
): Column {
  const column = found.find((one) => one.name === name);
  if (column !== undefined) return column;
  throw invalid(query, `it has no column "${name}"`, field, name);
}

function invalid(
  { table, key }: TableQuery,
  problem: string,
  field: string,
  value: unknown,
): BatchworkError {
  const message = `Table "${table}" cannot be walked through by (${key.join(", ")}): ${problem}.`;
  return new BatchworkError("TABLE_INVALID", message, { field, value });
}
