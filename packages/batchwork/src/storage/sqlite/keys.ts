/** Idempotency keys: until when they are held, and what becomes of them with their items. */
import { isRun, placeOf, type Member } from "../../core/members.ts";
import type { Statements } from "./prepared.ts";
import type { Transaction } from "./transaction.ts";

/** These items ended. Only to be asked for batches that carry items with keys. */
export function endKeys({ sql, now }: Transaction, members: readonly Member[]): void {
  for (const { chunk, items, ids } of members) {
    if (ids !== undefined) {
      for (const id of ids) {
        const place = placeOf(id);
        sql.endKeys.run(now, place.chunk, place.index, place.index + 1);
      }
    } else if (isRun(items)) sql.endKeys.run(now, chunk, items.from, items.from + items.count);
    else for (const index of items) sql.endKeys.run(now, chunk, index, index + 1);
  }
}

/** True when an item of the queue may have a key. Dead letters do not tell by themselves. */
export function hasKeys(sql: Statements, queue: number): boolean {
  return sql.anyKey.get(queue) !== undefined;
}

/** Dead letters are discarded: their items ended. `ids` as JSON, `null` for all of the queue. */
export function endKeysOfDead(tx: Transaction, queue: number, ids: string | null): void {
  if (!hasKeys(tx.sql, queue)) return;
  const rows = tx.sql.itemsOfDead.all({ queue, ids }) as { readonly item_id: string }[];
  for (const { item_id: id } of rows) {
    const { chunk, index } = placeOf(id);
    tx.sql.endKeys.run(tx.now, chunk, index, index + 1);
  }
}

/** Items were put back at these places, in order; their keys stay with them. */
export function moveKeys(sql: Statements, chunk: number, itemIds: readonly string[]): void {
  let moved = false;
  for (const [index, id] of itemIds.entries()) {
    const before = placeOf(id);
    const { changes } = sql.moveKey.run(chunk, index, before.chunk, before.index);
    moved ||= Number(changes) > 0;
  }
  if (moved) sql.markKeyed.run(chunk);
}

/** Deletes keys that are held no longer, `most` at a time. */
export function forgetKeys({ sql, now }: Transaction, most: number): void {
  sql.forgetKeys.run(now, most);
}
