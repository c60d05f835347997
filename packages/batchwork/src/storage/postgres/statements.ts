/**
 * SQL that is put together. `@.` stands for the schema everywhere; values are always parameters.
 */

/** The text for one schema, whose name was checked when the storage was made. */
export function inSchema(sql: string, schema: string): string {
  return sql.replaceAll("@.", `"${schema}".`);
}

/** A call of `append`, or of `append_within`: its arrays, then the items, then the time. */
export function appendText(within: boolean, arrays: number, texts: number): string {
  const numbers = (from: number, count: number): string[] =>
    Array.from({ length: count }, (_, n) => `$${from + n}`);
  const data =
    texts === 0 ? `$${arrays + 2}` : `ARRAY[${numbers(arrays + 2, texts).join(", ")}]::text[]`;
  const parameters = [...numbers(1, arrays), data, `$${arrays + 1}`].join(", ");
  return `SELECT * FROM @.${within ? "append_within" : "append"}(${parameters})`;
}
