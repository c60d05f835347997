/** Group names as a database keeps them: any string is a name, but text is UTF-8 without NUL. */

/** Begins what is not stored as it is. */
const ESCAPED = "\u0001";

/** The name as text that survives UTF-8. Different names have different texts. */
export function storedGroup(name: string): string {
  const safe = name.isWellFormed() && !name.includes("\0") && !name.startsWith(ESCAPED);
  return safe ? name : ESCAPED + JSON.stringify(name);
}

/** The inverse of {@link storedGroup}. */
export function groupName(stored: string): string {
  return stored.startsWith(ESCAPED) ? (JSON.parse(stored.slice(1)) as string) : stored;
}
