/** Sizes, counted in encoded bytes before anything is written. The platform's limits are hard. */
import { getConvexSize, type Value } from "convex/values";
import { chunkEnd } from "../core/limits.js";

/** Items in one payload row: also the most that one crash of an executor leaves in doubt. */
const CHUNK_ITEMS_MAX = 25;

/** Bytes of one payload row, items and their contexts. Larger items are alone in theirs. */
const CHUNK_BYTES_MAX = 256 * 1024;

/** Bytes of one item's arguments, and of its context. A document ends at 1 MiB. */
export const ITEM_BYTES_MAX = 1_000_000;

/** Bytes of one call into a component; larger calls are split by the client. */
export const CALL_BYTES_MAX = 8 * 1024 * 1024;

/** Bytes that one settling transaction may carry or delete: an eighth of what it may read. */
export const SETTLE_BYTES_MAX = 2 * 1024 * 1024;

/** Bytes of payload that one executor holds at a time; its isolate has 64 MiB for everything. */
export const FLIGHT_BYTES_MAX = 8 * 1024 * 1024;

/** Characters of an error text that is stored or handed on. */
const ERROR_TEXT_MAX = 4096;

/** Encoded size in bytes. */
export function bytesOf(value: unknown): number {
  return value === undefined ? 0 : getConvexSize(value as Value);
}

/** Cuts items into rows: where each chunk begins and ends, and its bytes. */
export function packChunks(
  sizes: readonly number[],
  itemsMax: number = CHUNK_ITEMS_MAX,
  bytesMax: number = CHUNK_BYTES_MAX,
): { readonly from: number; readonly end: number; readonly bytes: number }[] {
  const chunks = [];
  for (let from = 0; from < sizes.length;) {
    const end = chunkEnd(sizes, from, {
      items: itemsMax,
      bytes: Math.min(bytesMax, CHUNK_BYTES_MAX),
    });
    let bytes = 0;
    for (let i = from; i < end; i++) bytes += sizes[i] as number;
    chunks.push({ from, end, bytes });
    from = end;
  }
  return chunks;
}

/** An error's text, cut to what is stored. */
export function errorText(thrown: unknown): string {
  const text = thrown instanceof Error ? thrown.message : String(thrown);
  return text.length <= ERROR_TEXT_MAX ? text : `${text.slice(0, ERROR_TEXT_MAX - 1)}…`;
}
