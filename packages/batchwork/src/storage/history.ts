/**
 * The part of the storage port that looks back at batches that are over.
 *
 * Finished batches are kept for a while only: at least the latest 1,000 of each queue. Nothing is
 * written for this that settling would not write anyway.
 */
import type { StoredError } from "../core/errors.ts";
import type { FlushReason } from "../core/flush.ts";

export interface History {
  /** Finished batches of a queue that are still kept, those with the highest ids first. */
  history(query: HistoryQuery): Promise<FinishedRow[]>;
}

export interface HistoryQuery {
  readonly queue: number;
  /** Only batches of this group; not those from before it was forgotten. */
  readonly group: string | null;
  /** Only ids below this one. */
  readonly before: number | null;
  readonly limit: number;
}

export interface FinishedRow {
  readonly batch: number;
  readonly parentId: number | null;
  /** The batch that first held the items; its own id when it has no parent. */
  readonly rootId: number;
  /** `null` when the group was empty and was forgotten since. */
  readonly group: string | null;
  readonly count: number;
  /** The number of its last attempt. */
  readonly attempt: number;
  readonly reason: FlushReason;
  readonly sealedAt: number;
  /** When its last attempt was claimed. */
  readonly claimedAt: number;
  readonly finishedAt: number;
  /** What items of its last attempt failed with; `null` when each of them succeeded. */
  readonly error: StoredError | null;
  /** True where its items are kept: `replay` would hand them over again. */
  readonly kept: boolean;
}
