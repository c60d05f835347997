/** Finds statements that would end or begin a transaction, in SQL that somebody else wrote. */

/** What only the engine may do inside `ctx.tx`. */
const CONTROL = new Set(["BEGIN", "START", "COMMIT", "END", "ROLLBACK", "ABORT", "PREPARE"]);

/** Comments and white space before the first word. */
const LEADING = /^(?:\s|--[^\n]*(?:\n|$)|\/\*[\s\S]*?\*\/)*/;

/**
 * The first word of a statement that controls the transaction, or `null`. Savepoints are allowed:
 * they nest, and the transaction's own one is checked at its end.
 */
export function transactionControl(sql: string): string | null {
  const word = /^\w+/.exec(sql.replace(LEADING, ""))?.[0].toUpperCase() ?? "";
  if (!CONTROL.has(word)) return null;
  if (word === "ROLLBACK" && /\bTO\b/i.test(sql)) return null;
  return word === "PREPARE" && !/\bTRANSACTION\b/i.test(sql) ? null : word;
}
