/** How much of a queue is pending. */
import {
  fitsInto,
  minus,
  NOTHING,
  plus,
  QueueFullError,
  roomWithin,
  type Amount,
  type PendingLimit,
} from "../../core/pending.ts";
import type { NewChunk } from "../storage.ts";
import type { Prepared } from "./append.ts";
import type { MemoryData } from "./data.ts";
import type { Queue } from "./queue.ts";

/** What waits or runs of one queue. */
export class Pending implements Amount {
  items = 0;
  #bytes = 0;

  /** Items of references have fractions of bytes, each of which is rounded by a little. */
  get bytes(): number {
    return Math.round(this.#bytes);
  }

  add(items: number, bytes: number): void {
    this.items += items;
    // Nothing has no bytes, whatever the parts were rounded to.
    this.#bytes = this.items === 0 ? 0 : this.#bytes + bytes;
  }

  remove(items: number, bytes: number): void {
    this.add(-items, -bytes);
  }
}

/** What is left of the limit of a queue, beside what a transaction is about to append. */
export function roomOfQueue(
  queue: Queue,
  limit: PendingLimit,
  staged: readonly Prepared[],
): Amount {
  let taken = NOTHING;
  for (const { queue: other, chunk } of staged) {
    if (other === queue) taken = plus(taken, { items: chunk.count, bytes: chunk.bytes });
  }
  return minus(roomWithin(limit, queue.pending), taken);
}

/** Refuses chunks that do not fit into the limits of their queues. Throws `QUEUE_FULL`. */
export function checkRoom(
  data: MemoryData,
  chunks: readonly NewChunk[],
  staged: readonly Prepared[],
): void {
  const needs = new Map<number, Amount>();
  for (const { queue, limit, count, bytes } of chunks) {
    if (limit === undefined) continue;
    const need = plus(needs.get(queue) ?? NOTHING, { items: count, bytes });
    needs.set(queue, need);
    const room = roomOfQueue(data.queue(queue), limit, staged);
    if (!fitsInto(room, need)) throw new QueueFullError(limit, room, need);
  }
}
