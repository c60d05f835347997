/** The unsealed items of one group, in append order. */
import type { Payload } from "../storage.ts";
import { Fifo } from "./fifo.ts";
import type { HeldRecord } from "./keys.ts";

/** What one commit appended to one group. */
export interface Chunk {
  readonly id: number;
  /** Items in the payload. */
  readonly count: number;
  /** Of the items that wait, or waited. */
  bytes: number;
  readonly payload: Payload;
  readonly dueAt: number;
  /** The key of each item; `null` where none has one. */
  keys: (HeldRecord | null)[] | null;
  /** The key that each item holds until it is sealed; `null` where duplicates are welcome. */
  readonly dedupKeys: readonly string[] | null;
  /** The indices of the items that were not left out; `null` for all. */
  kept: readonly number[] | null;
  /** Of these, from the front, so many are sealed. */
  taken: number;
  takenBytes: number;
}

/** How many items of a chunk were not left out. */
export function sizeOf({ kept, count }: Chunk): number {
  return kept === null ? count : kept.length;
}

/** Chunks with unsealed items. What claims ask of it is kept up to date, so they never walk. */
export class WaitingChunks {
  items = 0;
  bytes = 0;
  readonly #chunks = new Fifo<Chunk>();
  /** The chunks that no later one is due before: the first of them is due first of all. */
  readonly #dues = new Fifo<Chunk>();

  get first(): Chunk | undefined {
    return this.#chunks.first;
  }

  /** When the first of them is due; `Infinity` when nothing waits. */
  get dueAt(): number {
    return this.#dues.first?.dueAt ?? Number.POSITIVE_INFINITY;
  }

  /** The chunk with this id; for what is rarely asked, since it walks. */
  find(id: number): Chunk | undefined {
    return this.#chunks.find((chunk) => chunk.id === id);
  }

  push(chunk: Chunk): void {
    this.items += sizeOf(chunk);
    this.bytes += chunk.bytes;
    this.#chunks.push(chunk);
    while ((this.#dues.last?.dueAt ?? Number.NEGATIVE_INFINITY) > chunk.dueAt) this.#dues.pop();
    this.#dues.push(chunk);
  }

  /** Takes `count` unsealed items with so many bytes off the first chunk. */
  take(count: number, bytes: number): void {
    const chunk = this.#chunks.first as Chunk;
    this.items -= count;
    this.bytes -= bytes;
    chunk.taken += count;
    chunk.takenBytes += bytes;
    if (chunk.taken < sizeOf(chunk)) return;
    this.#chunks.shift();
    if (this.#dues.first === chunk) this.#dues.shift();
  }
}
