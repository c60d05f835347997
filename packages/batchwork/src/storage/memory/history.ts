/** Batches of one queue that are over: the latest, in a ring, or what the definition asks for. */
import type { StoredError } from "../../core/errors.ts";
import { FINISHED_MS_MIN, type Retention } from "../../core/retention.ts";
import type { FinishedRow, HistoryQuery } from "../history.ts";
import type { Payload } from "../storage.ts";
import type { Batch, Origin } from "./batch.ts";

/** Finished batches that are kept in each queue where nothing else is said. */
const KEPT = 1000;

const DEFAULT: Retention = { count: KEPT, ageMs: Number.POSITIVE_INFINITY };

/** The items of a finished batch. */
export interface KeptItems extends Origin {
  readonly group: string;
  readonly count: number;
  readonly bytes: number;
  readonly reason: FinishedRow["reason"];
  readonly payload: Payload;
}

export class Finished {
  /** What the definition asks for; `null` for the latest, in the ring. */
  retention: Retention | null = null;
  readonly #ring: FinishedRow[] = [];
  #next = 0;
  /** In the order in which they ended. */
  readonly #rows = new Map<number, FinishedRow>();
  readonly #items = new Map<number, KeptItems>();

  add(batch: Batch, error: StoredError | null, now: number, items: KeptItems | null = null): void {
    const { group, count, reason, sealedAt } = batch.content;
    const row: FinishedRow = {
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
      kept: items !== null,
    };
    if (items !== null) this.#items.set(batch.id, items);
    if (this.retention === null && items === null) {
      this.#ring[this.#next] = row;
      this.#next = (this.#next + 1) % KEPT;
    } else this.#rows.set(batch.id, row);
  }

  /** The items of this batch, if they are kept. */
  itemsOf(batch: number): KeptItems | undefined {
    return this.#items.get(batch);
  }

  /** Forgets up to `most` that are not to be kept. */
  forget(now: number, most: number): void {
    const { count, ageMs } = this.retention ?? DEFAULT;
    let left = most;
    for (const { batch, finishedAt } of this.#rows.values()) {
      const age = now - finishedAt;
      const beyond = this.#rows.size > count || age >= ageMs;
      if (!beyond || age < FINISHED_MS_MIN || left-- === 0) return;
      this.#rows.delete(batch);
      this.#items.delete(batch);
    }
  }

  /** As `history` of the port. */
  list({ group, before, limit }: HistoryQuery): FinishedRow[] {
    return [...this.#ring, ...this.#rows.values()]
      .filter((row) => before === null || row.batch < before)
      .filter((row) => group === null || row.group === group)
      .toSorted((a, b) => b.batch - a.batch)
      .slice(0, limit);
  }
}
