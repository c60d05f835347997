/** What claims of a pool see for the first time: new chunks, and tasks whose time has come. */
import type { QueueRow } from "./queues.ts";
import type { Transaction } from "./transaction.ts";

/** Chunks that one claim takes in at most, and tasks that it wakes: about 10 ms each. */
const TAKEN_MAX = 5000;

/** So far may the counted mark lag behind before it is moved for its own sake. */
const COUNTED_LAG_MAX = 1000;

/**
 * Makes slices of chunks that were appended since the last claim. Ids commit in order, so nothing
 * can appear below the mark later. Returns true when there are more.
 */
export function sliceNewChunks(tx: Transaction, queue: QueueRow): boolean {
  const { sql, now } = tx;
  const { id, counted } = queue;
  const { id: last } = sql.lastChunk.get() as { readonly id: number | null };
  if (last === null || last <= counted) return false;
  const end = last - counted > TAKEN_MAX ? endOfSome(tx, queue) : null;
  const to = end ?? last;
  const range = { queue: id, from: counted, to, now };
  const { changes } = sql.sliceChunks.run(range);
  if (Number(changes) > 0) sql.openKeysOfChunks.run({ ...range, turn: tx.nextTurn() });
  // All of them belong to other queues: an idle look must not write each time they get one.
  else if (to - counted <= COUNTED_LAG_MAX) return false;
  sql.setCounted.run(to, id);
  return end !== null;
}

/** The same, whatever there is. */
export function sliceAllChunks(tx: Transaction, queue: QueueRow): void {
  let row = queue;
  while (sliceNewChunks(tx, row)) row = tx.sql.queue.get(queue.id) as QueueRow;
}

function endOfSome({ sql }: Transaction, { id, counted }: QueueRow): number | null {
  const row = sql.lastOfSome.get(counted, id, TAKEN_MAX - 1) as { readonly id: number } | undefined;
  return row?.id ?? null;
}

/** Readies delayed tasks whose time has come. Returns true when there may be more. */
export function readyDelayed(tx: Transaction, queue: number): boolean {
  const { sql, now } = tx;
  const { at } = sql.nextDelayed.get(queue) as { readonly at: number | null };
  if (at === null || at > now) return false;
  const rows = sql.readyDelayed.all(queue, now, TAKEN_MAX) as readonly ReadiedRow[];
  const best = new Map<string, number>();
  for (const { key, priority } of rows) {
    best.set(key, Math.min(best.get(key) ?? priority, priority));
  }
  for (const [key, priority] of best) sql.openKey.run(queue, key, priority, tx.nextTurn());
  return rows.length === TAKEN_MAX;
}

/** What has to be known of a slice that became ready. */
interface ReadiedRow {
  readonly key: string;
  readonly priority: number;
}
