/** Batches of one queue that are over: the latest, in a ring. */
import type { StoredError } from "../../core/errors.ts";
import type { FinishedRow, HistoryQuery } from "../history.ts";
import type { Batch } from "./batch.ts";

/** Finished batches that are kept in each queue. */
const KEPT = 1000;

export class Finished {
  readonly #rows: FinishedRow[] = [];
  #next = 0;

  add(batch: Batch, error: StoredError | null, now: number): void {
    const { group, count, reason, sealedAt } = batch.content;
    this.#rows[this.#next] = {
      batch: batch.id,
      parentId: batch.parentId,
      rootId: batch.rootId,
      group: group.name,
      count,
      attempt: batch.attempt,
      reason,
      sealedAt,
      claimedAt: batch.claimedAt,
      finishedAt: now,
      error,
    };
    this.#next = (this.#next + 1) % KEPT;
  }

  /** As `history` of the port. */
  list({ group, before, limit }: HistoryQuery): FinishedRow[] {
    return this.#rows
      .filter((row) => before === null || row.batch < before)
      .filter((row) => group === null || row.group === group)
      .toSorted((a, b) => b.batch - a.batch)
      .slice(0, limit);
  }
}
