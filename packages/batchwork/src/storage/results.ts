/**
 * The part of the storage port that keeps what became of single items.
 *
 * Results ride on the outcome that ends their items (`Outcome.results`), in `exchange` and in
 * `transact`, or on `prepare` for items that `beforeFlush` left out. They are appended in that
 * transaction, only where it counts under its token, and are never rewritten: of two for the same
 * id the first one stays. Each is kept for its own `ttlMs`, in storage time, and then deleted in
 * bounded steps by `reap`; `Infinity` keeps it for ever. An id is the one that the item had when it
 * was added (`core/members.ts`), also after a retry, a split and `prepare`. A redriven item has
 * another id, so another result.
 *
 * Success and cancellation are told by whoever settles. Death is seen to by the storage, because
 * the reaper kills items too: whenever an item dies that was submitted (`core/submitted.ts`), a
 * `failed` result with its error is kept for as long as the item says.
 *
 * Outcomes without results, and items that were not submitted, do without any of this.
 */
import type { ItemResult } from "../core/results.ts";

export interface ResultKeeping {
  /**
   * What is known of these items of a queue, position by position, in one look. A result that is
   * past its time is not there, deleted or not.
   */
  findResults(queue: number, ids: readonly string[]): Promise<FoundResult[]>;
}

export type FoundResult =
  /** No such item; or it ended, and no result was to be kept of it, or is kept no longer. */
  | { readonly status: "unknown" }
  /**
   * There is no result yet, and what carries the item is there: its chunk, or a batch that was
   * prepared. So may be an item that ended without a result, or was left out, while others of its
   * chunk go on; and an item of another queue.
   */
  | { readonly status: "pending" }
  | FinishedResult;

export interface FinishedResult extends Pick<ItemResult, "kind" | "value" | "error"> {
  readonly status: "finished";
  /** When it ended, storage time. */
  readonly endedAt: number;
}
