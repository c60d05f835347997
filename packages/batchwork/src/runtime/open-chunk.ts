/** A chunk that is being filled, on its way to the storage. */
import { joinItems } from "../core/codec.ts";
import { itemIdPrefix } from "../core/members.ts";
import { CHUNK_BYTES_MAX } from "../core/limits.ts";
import type { MaxPending } from "../core/pending-option.ts";
import type { NewChunk, Storage } from "../storage/storage.ts";

/** What a chunk needs to know of its queue. */
export interface ChunkQueue {
  /** Id in the storage; known once the queue is defined there. */
  readonly id: number;
  /** Most items in a chunk. */
  readonly chunkSize: number;
  readonly maxBytes: number;
  readonly maxWaitMs: number;
  /** How much may be pending, and what becomes of adds beyond it. Default: no limit. */
  readonly maxPending?: MaxPending | undefined;
}

/** What was committed to one group. */
export type LandedChunk = Pick<OpenChunk, "queue" | "group" | "count" | "bytes" | "firstId">;

/** Items of one group that are committed together. */
export class OpenChunk {
  readonly queue: ChunkQueue;
  readonly group: string;
  /** Where its items are, once committed. Apart from the chunk, so receipts keep no items alive. */
  readonly place = { prefix: "" };
  count = 0;
  bytes = 0;
  #id: number | undefined;
  /** Items; texts of several items, joined, may be among them. */
  readonly #values: unknown[] = [];
  /** The keys of its items, where they have some. */
  #dedupKeys: string[] | undefined;
  readonly #itemsMax: number;
  readonly #bytesMax: number;

  constructor(queue: ChunkQueue, group: string) {
    this.queue = queue;
    this.group = group;
    this.#itemsMax = queue.chunkSize;
    this.#bytesMax = Math.min(queue.maxBytes, CHUNK_BYTES_MAX);
  }

  /** Id of its first item, once it was appended. */
  get firstId(): string {
    return `${this.place.prefix}0`;
  }

  /** How many more items it takes, if they are small. */
  get room(): number {
    return this.#itemsMax - this.count;
  }

  /** True when so many more items with so many bytes still fit. */
  fits(bytes: number, count: number): boolean {
    return this.count + count <= this.#itemsMax && this.bytes + bytes <= this.#bytesMax;
  }

  /** From here on its items have ids: it was appended, or its id was reserved. */
  committed(chunk: number): void {
    // Joined once for the whole chunk: `add` is paid for by the nanosecond in memory mode.
    this.place.prefix = itemIdPrefix(chunk);
    this.#id = chunk;
  }

  /** Notes the key of the item that was pushed last. */
  hold(dedupKey: string): void {
    (this.#dedupKeys ??= []).push(dedupKey);
  }

  push(value: unknown, bytes: number, count: number): void {
    this.#values.push(value);
    this.count += count;
    this.bytes += bytes;
  }

  /** The chunk as the storage takes it; `limited`: if it fits into the limit of its queue. */
  sealed(payload: Storage["payload"], limited = true): NewChunk {
    const { maxPending } = this.queue;
    return {
      ...(this.#id === undefined ? {} : { id: this.#id }),
      ...(this.#dedupKeys === undefined ? {} : { dedupKeys: this.#dedupKeys }),
      ...(limited && maxPending !== undefined ? { limit: maxPending } : {}),
      queue: this.queue.id,
      group: this.group,
      count: this.count,
      bytes: this.bytes,
      payload: payload === "text" ? joinItems(this.#values as string[]) : this.#values,
      dueInMs: this.queue.maxWaitMs,
    };
  }
}
