/** Appending: inserts, and nothing else. */
import type { AppendedChunk, NewChunk } from "../storage.ts";
import { storedGroup } from "../../core/group-name.ts";
import { appendText } from "./statements.ts";

/** Up to so many texts are passed as they are; in an array each would be quoted first. */
const SEPARATE_TEXTS_MAX = 100;

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
  const sql = appendText(within.length > 0, arrays.length, separate ? texts.length : 0);
  return { sql, values: [...arrays, at, ...(separate ? texts : [texts])] };
}

export function appended(rows: readonly Readonly<Record<string, unknown>>[]): AppendedChunk[] {
  return rows.map((row) => ({ id: row["id"] as number, dueAt: row["due_at"] as number }));
}
