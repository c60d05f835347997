/** Finds statements that would end or begin a transaction, in SQL that somebody else wrote. */

/** What only the engine may do inside `ctx.tx`. */
const CONTROL = new Set(["BEGIN", "COMMIT", "END", "ROLLBACK", "SAVEPOINT", "RELEASE"]);

/** Most SQL has none of these words anywhere, and needs no closer look. */
const SUSPICIOUS = /\b(?:begin|commit|end|rollback|savepoint|release)\b/i;

/**
 * Comments and quoted text, which hide everything; semicolons; words. Anything else is passed over.
 */
const TOKENS = new RegExp(
  [
    /--[^\n]*/,
    /\/\*[\s\S]*?(?:\*\/|$)/,
    /'(?:[^']|'')*'?/,
    /"(?:[^"]|"")*"?/,
    /`(?:[^`]|``)*`?/,
    /\[[^\]]*\]?/,
    /;/,
    /\w+/,
  ]
    .map(({ source }) => source)
    .join("|"),
  "g",
);

/** The first word of a statement that controls the transaction, or `null` when there is none. */
export function transactionControl(sql: string): string | null {
  if (!SUSPICIOUS.test(sql)) return null;
  let statement: string[] = [];
  for (const [token] of sql.matchAll(TOKENS)) {
    if (token === ";") {
      // The body of a trigger has semicolons of its own and ends with "; END;".
      if (!isTrigger(statement) || statement.slice(-2).join("") === ";END") statement = [];
      else statement.push(token);
      continue;
    }
    if (!/^\w/.test(token)) continue;
    const word = token.toUpperCase();
    if (statement.length === 0 && CONTROL.has(word)) return word;
    statement.push(word);
  }
  return null;
}

function isTrigger([first, second, third]: readonly string[]): boolean {
  if (first !== "CREATE") return false;
  return second === "TRIGGER" || (third === "TRIGGER" && /^TEMP(?:ORARY)?$/.test(second ?? ""));
}
