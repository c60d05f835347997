/** Dead letters as both databases keep them, and the chunks in which a redrive puts them back. */
import { joinItems } from "../core/codec.ts";
import type { StoredError } from "../core/errors.ts";
import { groupName } from "../core/group-name.ts";
import { CHUNK_BYTES_MAX, CHUNK_ITEMS_MAX } from "../core/limits.ts";
import type { DeadRow, NewChunk } from "./storage.ts";

/** A row of the table of dead letters. */
export interface LetterRow {
  readonly id: number;
  readonly queue: number;
  readonly grp: string;
  readonly item: string;
  readonly item_id: string;
  readonly error: string;
  readonly attempts: number;
  readonly crashes: number;
  readonly batch: number;
  readonly root: number;
  readonly died_at: number;
}

export function letter(row: LetterRow): DeadRow {
  return {
    id: row.id,
    queue: row.queue,
    group: groupName(row.grp),
    itemId: row.item_id,
    payload: row.item,
    error: JSON.parse(row.error) as StoredError,
    attempts: row.attempts,
    crashes: row.crashes,
    batch: row.batch,
    rootId: row.root,
    diedAt: row.died_at,
  };
}

/** A chunk to append, and the ids that its items had before. */
export interface RedrivenChunk {
  readonly chunk: NewChunk;
  readonly itemIds: readonly string[];
}

interface OpenChunk {
  readonly items: string[];
  readonly itemIds: string[];
  bytes: number;
}

/** Puts letters back as chunks: one per group until it is full, in order of age. */
export class RedrivenChunks {
  readonly #queue: number;
  readonly #finished: (chunk: RedrivenChunk) => void;
  readonly #open = new Map<string, OpenChunk>();

  constructor(queue: number, finished: (chunk: RedrivenChunk) => void) {
    this.#queue = queue;
    this.#finished = finished;
  }

  add({ grp, item, item_id: itemId }: LetterRow): void {
    const bytes = Buffer.byteLength(item);
    let chunk = this.#open.get(grp);
    const full =
      chunk !== undefined &&
      (chunk.items.length >= CHUNK_ITEMS_MAX || chunk.bytes + bytes > CHUNK_BYTES_MAX);
    if (full) this.#finish(grp);
    if (chunk === undefined || full) {
      chunk = { items: [], itemIds: [], bytes: 0 };
      this.#open.set(grp, chunk);
    }
    chunk.items.push(item);
    chunk.itemIds.push(itemId);
    chunk.bytes += bytes;
  }

  end(): void {
    for (const grp of this.#open.keys()) this.#finish(grp);
  }

  #finish(grp: string): void {
    const { items, itemIds, bytes } = this.#open.get(grp) as OpenChunk;
    this.#open.delete(grp);
    const payload = joinItems(items);
    const chunk = { queue: this.#queue, group: groupName(grp), count: items.length, bytes };
    this.#finished({ chunk: { ...chunk, payload, dueInMs: 0 }, itemIds });
  }
}
