/** Slices of what a chunk carries, as text or as the values themselves. */
import { pickText, splitItems } from "../../core/codec.ts";
import { isRun, memberCount, type Member, type Run } from "../../core/members.ts";
import type { Payload } from "../storage.ts";
import { sizeOf, type Chunk } from "./waiting.ts";

/** Just the items of `chunk` that `items` names; the payload itself where that is all of it. */
export function pick(chunk: Chunk, items: Run | readonly number[]): Payload {
  const { payload, count } = chunk;
  if (typeof payload === "string") return pickText(payload, items, count);
  if (!isRun(items)) return items.map((index) => payload[index]);
  return items.count === count ? payload : payload.slice(items.from, items.from + items.count);
}

/**
 * Bytes of each unsealed item of a chunk. Of references only the sum is known, if that: each is
 * taken for the average.
 */
export function unsealedSizes(chunk: Chunk): number[] {
  const { kept, taken } = chunk;
  if (typeof chunk.payload !== "string") {
    const each = chunk.bytes / sizeOf(chunk);
    return Array.from({ length: sizeOf(chunk) - taken }, () => each);
  }
  const sizes = itemSizes(chunk);
  if (kept !== null) return kept.slice(taken).map((index) => sizes[index] as number);
  return taken === 0 ? sizes : sizes.slice(taken);
}

/** Bytes of each item of a chunk of which nothing was left out. */
export function itemSizes({ payload, count, bytes }: Chunk): number[] {
  if (typeof payload !== "string") return Array.from({ length: count }, () => bytes / count);
  return splitItems(payload).map((text) => Buffer.byteLength(text));
}

/** Bytes of the items that a member names. */
export function memberBytes(chunk: Chunk, member: Member): number {
  if (member.whole) return chunk.bytes;
  const payload = pick(chunk, member.items);
  if (typeof payload !== "string") return (chunk.bytes / sizeOf(chunk)) * memberCount(member);
  let bytes = 0;
  for (const text of splitItems(payload)) bytes += Buffer.byteLength(text);
  return bytes;
}
