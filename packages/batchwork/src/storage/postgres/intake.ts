/** Appending: inserts, and nothing else. */
import type { AppendedChunk, NewChunk } from "../storage.ts";
import { storedGroup } from "../../core/group-name.ts";
import { appendText } from "./statements.ts";

/** Up to so many texts are passed as they are; in an array each would be quoted first. */
const SEPARATE_TEXTS_MAX = 100;

/** Most calls have one chunk: nothing has to be put into arrays and taken out again. */
const APPEND_ONE = "SELECT * FROM @.append_one($1, $2, $3, $4, $5, $6, $7)";

/** A call of `append`, or of `append_within` with its first argument. */
export interface AppendCall {
  readonly sql: string;
  readonly values: readonly unknown[];
}

export function appendCall(
  chunks: readonly NewChunk[],
  at: number | null,
  within: readonly string[] = [],
): AppendCall {
  const [only] = chunks;
  const isOne = chunks.length === 1 && within.length === 0;
  if (only !== undefined && isOne && only.dedupKeys === undefined) {
    const { queue, group, count, bytes, dueInMs, payload } = only;
    const values = [queue, storedGroup(group), count, bytes, Math.ceil(dueInMs), payload, at];
    return { sql: APPEND_ONE, values };
  }
  const texts = chunks.map(({ payload }) => payload as string);
  const arrays: unknown[] = [
    ...within,
    chunks.map(({ queue }) => queue),
    chunks.map(({ group }) => storedGroup(group)),
    chunks.map(({ count }) => count),
    chunks.map(({ bytes }) => bytes),
    chunks.map(({ dueInMs }) => Math.ceil(dueInMs)),
  ];
  const separate = texts.length <= SEPARATE_TEXTS_MAX;
  const keys = keysOf(chunks);
  const dedup = keys.length > 0;
  const sql = appendText(within.length > 0, arrays.length, separate ? texts.length : 0, dedup);
  return { sql, values: [...arrays, at, ...(separate ? texts : [texts]), ...keys] };
}

/** One value, or none where no chunk has keys. */
function keysOf(chunks: readonly NewChunk[]): unknown[] {
  if (chunks.every(({ dedupKeys }) => dedupKeys === undefined)) return [];
  // As names of groups are: any text is a key.
  const texts = chunks.map(({ dedupKeys: keys }) =>
    keys === undefined ? null : JSON.stringify(keys.map((key) => storedGroup(key))),
  );
  return [texts];
}

export function appended(rows: readonly Readonly<Record<string, unknown>>[]): AppendedChunk[] {
  return rows.map((row) => ({ id: row["id"] as number, dueAt: row["due_at"] as number }));
}
