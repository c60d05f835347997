/** The options of a table to walk through, checked. */
import { orElse, readFields, type Field, type Spec } from "./fields.ts";

interface TableFields {
  readonly table: string;
  readonly key: string | readonly string[];
  readonly columns: readonly string[] | undefined;
  readonly where: unknown;
}

const names: Field<readonly string[]> = {
  expected: "an array of names of columns",
  accepts: (value) => Array.isArray(value) && value.length > 0 && value.every(isText),
};

const TABLE: Spec<TableFields> = {
  table: { expected: "the name of a table", accepts: isText },
  key: {
    expected: "the name of a column, or an array of names in the order of the unique index",
    accepts: (value) => isText(value) || names.accepts(value),
  },
  columns: orElse(names, undefined),
  where: orElse(
    {
      expected: "a condition in SQL, or an object { sql, values } of one and an array",
      accepts: isCondition,
    },
    undefined,
  ),
};

/** Throws `OPTION_INVALID`. */
export function resolveTableOptions(options: unknown): TableFields {
  return readFields("fromTable", options, TABLE);
}

function isText(value: unknown): boolean {
  return typeof value === "string" && value.length > 0;
}

function isCondition(value: unknown): boolean {
  if (typeof value !== "object" || value === null) return isText(value);
  return "sql" in value && isText(value.sql) && "values" in value && Array.isArray(value.values);
}
