/** Chunks of what callbacks are told, and pieces of results: of the size that chunks have. */
import { joinItems, splitItems } from "../core/codec.ts";
import { CHUNK_BYTES_MAX, CHUNK_ITEMS_MAX, chunkEnd } from "../core/limits.ts";
import type { NewChunk, Payload } from "./storage.ts";

/** Where each piece of these texts begins and ends. */
export function pieces(texts: readonly string[]): [number, number][] {
  const sizes = texts.map((text) => Buffer.byteLength(text));
  return cut(sizes);
}

/** These items, at least one, as chunks for the queue that is told. */
export function callbackChunks(queue: number, payload: Payload): NewChunk[] {
  if (typeof payload !== "string") {
    const none = payload.map(() => 0);
    return cut(none).map(([from, end]) => {
      return { ...header(queue, end - from, 0), payload: payload.slice(from, end) };
    });
  }
  const texts = splitItems(payload);
  return pieces(texts).map(([from, end]) => {
    const items = texts.slice(from, end);
    let bytes = 0;
    for (const item of items) bytes += Buffer.byteLength(item);
    return { ...header(queue, items.length, bytes), payload: joinItems(items) };
  });
}

function header(queue: number, count: number, bytes: number): Omit<NewChunk, "payload"> {
  return { queue, group: "", count, bytes, dueInMs: 0 };
}

function cut(sizes: readonly number[]): [number, number][] {
  const caps = { items: CHUNK_ITEMS_MAX, bytes: CHUNK_BYTES_MAX };
  const found: [number, number][] = [];
  for (let from = 0; from < sizes.length;) {
    const end = chunkEnd(sizes, from, caps);
    found.push([from, end]);
    from = end;
  }
  return found;
}
