/**
 * Forgetting what nobody needs any more, in bounded steps. Writes nothing when there is nothing.
 */
import { forgetKeys } from "./keys.ts";
import { forgetResults } from "./results.ts";
import { forget, forgetFinished, forgetLetters, type RetentionRow } from "./retention.ts";
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
  for (const retention of sql.retentions.all() as RetentionRow[]) {
    forgetDone(tx, retention, DELETED_MAX);
    forgetLetters(tx, retention);
  }
  forgetKeys(tx, DELETED_MAX);
  forgetResults(tx, DELETED_MAX);
  sql.forgetTaskResults.run(tx.now, DELETED_MAX);
  const empty = sql.emptyGroups.all(DELETED_MAX) as { readonly id: number }[];
  if (empty.length < EMPTY_GROUPS_KEPT) return;
  sql.deleteGroups.run(JSON.stringify(empty.map(({ id }) => id)));
}

/**
 * A batch has ended: now and then that deletes more finished batches than came in since the last
 * time.
 */
export function forgetNowAndThen(tx: Transaction, queue: number, batch: number): void {
  if (batch % FORGET_EVERY > 0) return;
  forgetDone(tx, tx.sql.retention.get(queue) as RetentionRow, 2 * FORGET_EVERY);
}

function forgetDone(tx: Transaction, retention: RetentionRow, most: number): void {
  const { sql, now } = tx;
  const { id: queue, done_count: count, done_age: age } = retention;
  if (count !== null || age !== null) {
    forgetFinished(tx, retention, most);
    return;
  }
  const newest = sql.firstToForget.get(queue, DONE_BATCHES_KEPT) as
    { readonly id: number } | undefined;
  if (newest === undefined) return;
  if (sql.anyKept.get() === undefined) sql.forget.run(queue, newest.id, most);
  else forget(sql, sql.finishedBeyond.all(queue, newest.id, most, now));
}
