/** Items as text, read from where chunks keep them. */
import { pickText, SEPARATOR } from "../../core/codec.ts";
import { BatchworkError } from "../../core/errors.ts";
import { memberCount, type Member } from "../../core/members.ts";
import { textCount, type KeptItems } from "./dedup.ts";
import type { Statements } from "./prepared.ts";

/** What is kept of a chunk besides its group. */
export interface ChunkText extends KeptItems {
  readonly bytes: number;
  /** The items, or `null` when they have a row of their own. */
  readonly data: string | null;
}

/** Text is text here: a mark at its beginning is part of it. */
const utf8 = new TextDecoder("utf-8", { ignoreBOM: true });

/** The text of a chunk whose header was read before. */
export function chunkText(sql: Statements, id: number, data: string | null): string {
  if (data !== null) return data;
  const row = sql.payload.get(id) as { readonly data: Uint8Array } | undefined;
  if (row !== undefined) return utf8.decode(row.data);
  throw missing(id);
}

/** The texts that members name: one per member, just its items. */
export function memberTexts(sql: Statements, members: readonly Member[]): string[] {
  return members.map(({ chunk, items }) => {
    const row = sql.chunk.get(chunk) as ChunkText | undefined;
    if (row === undefined) throw missing(chunk);
    return pickText(chunkText(sql, chunk, row.data), items, textCount(row));
  });
}

/** Bytes of the items in such a text: the separators between them do not count. */
export function textBytes(text: string, count: number): number {
  return Buffer.byteLength(text) - SEPARATOR.length * (count - 1);
}

/** Bytes of the items of all members. */
export function memberBytes(members: readonly Member[], texts: readonly string[]): number {
  let bytes = 0;
  for (let n = 0; n < members.length; n++) {
    bytes += textBytes(texts[n] as string, memberCount(members[n] as Member));
  }
  return bytes;
}

function missing(chunk: number): BatchworkError {
  const message = `The items of chunk ${chunk} are gone: the database was changed from outside.`;
  return new BatchworkError("STORAGE_FAILED", message, { field: "chunk", value: chunk });
}
