/** Sealing: which waiting items make up the next batch of a group. */
import { pickText, splitItems } from "../../core/codec.ts";
import { fitCount, type FlushReason } from "../../core/flush.ts";
import type { Member } from "../../core/members.ts";
import { releaseKeys, textCount, waitingItems } from "./dedup.ts";
import type { GroupRow } from "./groups.ts";
import { chunkText, textBytes, type ChunkText } from "./payloads.ts";
import type { Caps } from "./queues.ts";
import type { Statements } from "./prepared.ts";

/** The content of a batch. */
export interface Sealed {
  readonly members: Member[];
  /** One text per member. */
  readonly texts: string[];
  count: number;
  bytes: number;
  /** 1 when items of it may have keys. */
  keyed: number;
  readonly reason: FlushReason;
}

interface WaitingChunk extends ChunkText {
  readonly id: number;
  readonly keyed: number;
  readonly dedup: number;
}

/** Chunks read at a time when nothing is known of their size, and at most. */
const PAGE_MIN = 2;
const PAGE_MAX = 1000;

/** Takes the items of a group in order. Changes the group's row in memory only. */
export class Sealer {
  readonly #sql: Statements;
  readonly #queue: number;
  readonly #caps: Caps;
  readonly #counted: number;

  constructor(sql: Statements, queue: number, caps: Caps, counted: number) {
    this.#sql = sql;
    this.#queue = queue;
    this.#caps = caps;
    this.#counted = counted;
  }

  /**
   * Fixes the next batch of a group that is due. `null` when nothing is there, whatever its row
   * says.
   */
  seal(group: GroupRow, reason: FlushReason): Sealed | null {
    const sealed: Sealed = { members: [], texts: [], count: 0, bytes: 0, keyed: 0, reason };
    let from = group.head;
    let page = PAGE_MIN;
    // The row knows how much there is, so that nothing is read behind the last item.
    while (sealed.count < group.items) {
      const chunks = this.#read(group, from, page);
      const last = chunks.at(-1);
      // Less than the row says: it is put right below.
      if (last === undefined) group.items = sealed.count;
      if (last === undefined || this.#takeAll(sealed, group, chunks)) break;
      from = last.id + 1;
      page = this.#pageFor(sealed);
    }
    if (sealed.count === 0) {
      empty(group);
      return null;
    }
    advance(group, sealed);
    return sealed;
  }

  #read({ grp }: GroupRow, from: number, most: number): WaitingChunk[] {
    return this.#sql.chunksFrom.all(this.#queue, grp, from, this.#counted, most) as WaitingChunk[];
  }

  /**
   * As many chunks as it takes to fill the batch if they go on like this, and one to begin the
   * next.
   */
  #pageFor({ count, members }: Sealed): number {
    const missing = this.#caps.maxSize - count;
    return Math.min(PAGE_MAX, Math.ceil((missing * members.length) / count) + 1);
  }

  /** True when the batch is full; the group's head is then where the next one begins. */
  #takeAll(sealed: Sealed, group: GroupRow, chunks: readonly WaitingChunk[]): boolean {
    for (const chunk of chunks) {
      const from = chunk.id === group.head ? group.skip : 0;
      const taken = sealed.count < this.#caps.maxSize ? this.#take(sealed, chunk, from) : 0;
      if (from + taken === chunk.count) continue;
      group.head = chunk.id;
      group.skip = from + taken;
      group.due_at = null;
      return true;
    }
    return false;
  }

  /**
   * Takes as many items of a chunk as there is room for, from index `from` on. Returns how many.
   */
  #take(sealed: Sealed, chunk: WaitingChunk, from: number): number {
    const left = chunk.count - from;
    const room = {
      items: this.#caps.maxSize - sealed.count,
      bytes: this.#caps.maxBytes - sealed.bytes,
    };
    const text = chunkText(this.#sql, chunk.id, chunk.data);
    let count = Math.min(left, room.items);
    // Items are looked at one by one only where a chunk does not fit as it is.
    if (chunk.bytes > room.bytes) {
      count = fitCount(sizes(chunk, text, from), room, sealed.count === 0);
    }
    if (count === 0) return 0;
    const whole = count === textCount(chunk);
    const items = waitingItems(chunk, from, count);
    const taken = pickText(text, items, textCount(chunk));
    const member = { chunk: chunk.id, items, whole };
    if (chunk.dedup === 1) releaseKeys(this.#sql, member);
    sealed.members.push(member);
    sealed.texts.push(taken);
    if (chunk.keyed === 1) sealed.keyed = 1;
    sealed.count += count;
    sealed.bytes += whole ? chunk.bytes : textBytes(taken, count);
    return count;
  }
}

function sizes(chunk: WaitingChunk, text: string, from: number): number[] {
  const items = waitingItems(chunk, from, chunk.count - from);
  return splitItems(pickText(text, items, textCount(chunk))).map((item) => Buffer.byteLength(item));
}

function advance(group: GroupRow, { count, bytes }: Sealed): void {
  group.items -= count;
  group.bytes = Math.max(0, group.bytes - bytes);
  if (group.items <= 0) empty(group);
}

function empty(group: GroupRow): void {
  group.items = 0;
  group.bytes = 0;
  group.skip = 0;
  group.due_at = null;
}
