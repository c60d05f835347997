/**
 * The part of the storage port that limits how much of a queue is pending: accepted, and neither
 * done nor dead, in whatever process. Of a pool, these are the tasks that are not settled; one
 * that was cancelled while it ran is until its process settles it or gives it up.
 *
 * The limit rides on what is appended: a chunk, or the header of a keyed one, that has a `limit` is
 * only stored where all that is pending of its queue afterwards keeps to it. Otherwise nothing of
 * the append is stored, and it rejects with `QUEUE_FULL` (a `QueueFullError`); of a keyed append
 * only the call is answered with `"full"`. A key that is held already needs no room. A transaction
 * of the caller's is refused the same way, and stays open.
 *
 * Never more than the limit is pending because of appends, over all processes. An append may be
 * refused although there is room when other processes may be about to fill it, for a few seconds
 * (PostgreSQL). What is redriven or replayed counts, and is never refused; so does what was there
 * before the first definition with a limit. When a batch is divided, so are its bytes, by the
 * number of items: only their sum stays exact.
 *
 * A limit works on queues whose definition has one (`definitions.ts`). Others do without any of
 * this.
 */
import type { Amount, PendingLimit } from "../core/pending.ts";

export interface Pending {
  /**
   * How much of a queue is pending, over all processes. Cheap where its definition has a limit;
   * elsewhere it may have to count.
   */
  pending(queue: number): Promise<Amount>;
}

/** What a chunk, or the header of a keyed one, says of it. */
export interface Limited {
  readonly limit?: PendingLimit;
}
