/**
 * The part of the storage port that keeps what `hooks.beforeFlush` made of a batch.
 *
 * A batch is prepared at most once, before its first handler: from then on every delivery of its id
 * carries the same items. Its children carry items of a prepared batch, so they are prepared too.
 * Batches of queues without the hook are never prepared, and do without any of this.
 */
import type { Lease } from "../core/lease.ts";
import type { Member } from "../core/members.ts";
import type { ItemResult } from "../core/results.ts";
import type { Payload } from "./storage.ts";

export interface Preparation {
  /**
   * Marks a leased batch as prepared, and replaces its items by those of `parts`; `null` leaves
   * them as they are. Items that are not named by any `ids` are done: their chunks are freed, and
   * their idempotency keys end. Those that are keep their ids, and their keys.
   *
   * Resolves with the members of the batch from now on, or with `null` when the lease is lost: then
   * nothing changed. Neither does anything change when the batch is prepared already; that is how a
   * caller tries again after a failure. `results` are kept with the change (`results.ts`).
   */
  prepare(
    lease: Lease,
    parts: readonly PreparedPart[] | null,
    results?: readonly ItemResult[],
  ): Promise<readonly Member[] | null>;
}

/** Items that are stored as a chunk of their own; at least one. */
export interface PreparedPart {
  readonly count: number;
  /** As `NewChunk.bytes`. */
  readonly bytes: number;
  readonly payload: Payload;
  /** For each item the id that it had in the batch before; `null` for a new item. */
  readonly ids: readonly (string | null)[];
}

/** What a claim tells of it. */
export interface Prepared {
  /** True when the items are what `beforeFlush` made of them. */
  readonly prepared: boolean;
}
