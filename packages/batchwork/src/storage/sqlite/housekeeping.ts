/**
 * Forgetting what nobody needs any more, in bounded steps. Writes nothing when there is nothing.
 */
import { forgetKeys } from "./keys.ts";
import type { Statements } from "./prepared.ts";
import type { Transaction } from "./transaction.ts";

/** Finished batches that are kept in each queue: to answer who settles again, and to look back. */
export const DONE_BATCHES_KEPT = 10_000;

/** Rows of a kind that one reap deletes at most: about 20 ms. */
const DELETED_MAX = 10_000;

/**
 * Every so many batches one that ends clears up behind itself, whatever the reaper keeps up with.
 */
const FORGET_EVERY = 512;

/** Empty groups are worth a write from this many on; a few will be used again. */
export const EMPTY_GROUPS_KEPT = 1000;

export function keepHouse(tx: Transaction): void {
  const { sql } = tx;
  for (const { id } of sql.queueIds.all() as { readonly id: number }[]) {
    forgetDone(sql, id, DELETED_MAX);
  }
  forgetKeys(tx, DELETED_MAX);
  const empty = sql.emptyGroups.all(DELETED_MAX) as { readonly id: number }[];
  if (empty.length < EMPTY_GROUPS_KEPT) return;
  sql.deleteGroups.run(JSON.stringify(empty.map(({ id }) => id)));
}

/**
 * A batch has ended: now and then that deletes more finished batches than came in since the last
 * time.
 */
export function forgetNowAndThen({ sql }: Transaction, queue: number, batch: number): void {
  if (batch % FORGET_EVERY === 0) forgetDone(sql, queue, 2 * FORGET_EVERY);
}

function forgetDone(sql: Statements, queue: number, most: number): void {
  const newest = sql.firstToForget.get(queue, DONE_BATCHES_KEPT) as
    { readonly id: number } | undefined;
  if (newest !== undefined) sql.forget.run(queue, newest.id, most);
}
