/**
 * SQL that is put together. `@.` stands for the schema everywhere; values are always parameters.
 */

/** The text for one schema, whose name was checked when the storage was made. */
export function inSchema(sql: string, schema: string): string {
  return sql.replaceAll("@.", `"${schema}".`);
}

/** Listens for what `NOTIFY` below sends. The name was made here and needs no escapes. */
export function listenText(channel: string): string {
  return `LISTEN "${channel}"`;
}

/**
 * A call of `append`, or of `append_within`: its arrays, then the items, then the time, then keys
 * where there are some.
 */
export function appendText(within: boolean, arrays: number, texts: number, dedup: boolean): string {
  const numbers = (from: number, count: number): string[] =>
    Array.from({ length: count }, (_, n) => `$${from + n}`);
  const data =
    texts === 0 ? `$${arrays + 2}` : `ARRAY[${numbers(arrays + 2, texts).join(", ")}]::text[]`;
  const keys = dedup ? numbers(arrays + 2 + Math.max(1, texts), 1) : [];
  const parameters = [...numbers(1, arrays), data, `$${arrays + 1}`, ...keys].join(", ");
  return `SELECT * FROM @.${within ? "append_within" : "append"}(${parameters})`;
}

/** The statement, as one that fails when a budget ran out; its parameters begin with the `nth`. */
export function byBudgets(sql: string, nth: number): string {
  const [budgets, expiries, at] = [nth, nth + 1, nth + 2].map((n) => `$${n}`);
  return `SELECT c.* FROM (${sql}) AS c, @.use_budgets(${budgets}, ${expiries}, ${at}) AS u`;
}

/**
 * The end of a transaction that a handler shared: settles by the function `settle`, and commits.
 * Several statements in one message take no parameters, so the values are written out.
 */
export function settleText(
  settle: string,
  batch: number,
  token: number,
  outcome: string | null,
  at: number | null,
): string {
  const values = [batch, token, outcome === null ? null : literal(outcome), at];
  return `RELEASE SAVEPOINT batchwork_tx;
    SELECT ${settle}(${values.map(String).join(", ")});
    COMMIT`;
}

/**
 * The end of a transaction that the owner of a loop shared: writes the step by the function `step`,
 * or nothing, and commits.
 */
export function stepText(step: string, values: readonly Literal[] | null): string {
  const call =
    values === null ? "" : `SELECT ${step}(${values.map(written).join(", ")}) AS answer;`;
  return `RELEASE SAVEPOINT batchwork_tx; ${call} COMMIT`;
}

/** What can be written out as a value. */
export type Literal = string | number | boolean | null | readonly number[];

function written(value: Literal): string {
  if (typeof value === "string") return literal(value);
  return typeof value === "object" && value !== null ? `'{${value.join(",")}}'` : String(value);
}

/** Text as a literal, whatever the server's settings say of backslashes. */
function literal(text: string): string {
  return `E'${text.replaceAll("\\", String.raw`\\`).replaceAll("'", "''")}'`;
}
