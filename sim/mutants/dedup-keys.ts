/** Storages that understand the keys of `deduplicateBy` in another way. */
import type { NewChunk, Storage } from "../../packages/batchwork/src/storage/storage.ts";
import { decorate } from "./decorate.ts";

/** `inner`, with every key replaced on its way in, whichever way it comes. */
export function withDedupKeys(inner: Storage, change: (key: string) => string): Storage {
  const changed = (chunks: readonly NewChunk[]): NewChunk[] =>
    chunks.map((chunk) => {
      const { dedupKeys } = chunk;
      return dedupKeys === undefined ? chunk : { ...chunk, dedupKeys: dedupKeys.map(change) };
    });
  return decorate(inner, {
    append: (chunks) => inner.append(changed(chunks)),
    appendInside: (tx, chunks) => inner.appendInside(tx, changed(chunks)),
    appendWithin: (tx, chunks) => inner.appendWithin(tx, changed(chunks)),
  });
}
