/** The rows of groups: what waits in each, and when a claim has to look at it. */
import { dueReason, lookAt, type FlushReason, type Waiting } from "../../core/flush.ts";
import type { Caps, QueueRow } from "./queues.ts";
import type { Statements } from "./prepared.ts";
import type { Transaction } from "./transaction.ts";

/** A row of `batchwork_groups`, changed in memory and saved when a claim is through with it. */
export interface GroupRow {
  readonly id: number;
  /** The name as it is stored. */
  readonly grp: string;
  items: number;
  bytes: number;
  head: number;
  skip: number;
  due_at: number | null;
  readonly flush_to: number;
  active: number;
  ready: number;
  blocked: number;
  ready_at: number | null;
  wake_at: number | null;
  turn: number;
}

/** So far may the counted mark lag behind before it is moved for its own sake. */
const COUNTED_LAG_MAX = 1000;

/**
 * Counts chunks that were appended since the last count into their groups, and returns the id up to
 * which everything is counted now. Ids commit in order, so nothing can appear below it later.
 */
export function countChunks(tx: Transaction, queue: QueueRow, caps: Caps): number {
  const { sql, now } = tx;
  const { id: last } = sql.lastChunk.get() as { readonly id: number | null };
  const { id, counted } = queue;
  if (last === null || last <= counted) return counted;
  const { maxSize, maxBytes } = caps;
  const turn = tx.nextTurn();
  const { changes } = sql.countChunks.run({ maxSize, maxBytes, now, turn, counted, queue: id });
  // All of them belong to other queues: an idle look must not write each time they get one.
  if (Number(changes) === 0 && last - counted <= COUNTED_LAG_MAX) return last;
  sql.setCounted.run(last, id);
  return last;
}

/**
 * The times at which groups are looked at were worked out with the caps of an earlier claim. A
 * claim with tighter caps wakes the groups that are due for it. For one with looser caps they are
 * early, which does no harm: it leaves its caps behind only where it writes something anyway, or
 * two processes with different definitions would wake each other for ever.
 */
export function adoptCaps(tx: Transaction, queue: QueueRow, caps: Caps): void {
  const { sql, now } = tx;
  const { id, max_size: size, max_bytes: bytes, group_concurrency: concurrency } = queue;
  const { maxSize, maxBytes, groupConcurrency } = caps;
  const fuller = maxSize < (size ?? 0) || maxBytes < (bytes ?? 0);
  const wider = groupConcurrency > (concurrency ?? 0);
  if (fuller) sql.wakeFull.run({ queue: id, now, turn: tx.nextTurn(), maxSize, maxBytes });
  if (wider) sql.unblock.run(id, groupConcurrency);
  if (maxSize === size && maxBytes === bytes && groupConcurrency === concurrency) return;
  const written = fuller || wider ? -1 : tx.changes;
  sql.setCaps.run(maxSize, maxBytes, groupConcurrency, id, written);
}

/** The groups of one queue, as one claim sees them. */
export class Groups {
  readonly #sql: Statements;
  readonly #queue: number;
  readonly #caps: Caps;
  readonly #counted: number;
  readonly #now: number;
  readonly #nextTurn: () => number;

  constructor(tx: Transaction, queue: number, caps: Caps, counted: number) {
    this.#sql = tx.sql;
    this.#queue = queue;
    this.#caps = caps;
    this.#counted = counted;
    this.#now = tx.now;
    this.#nextTurn = tx.nextTurn;
  }

  /** Groups that may have a retry due, in order of their turn. */
  toRetry(most: number): GroupRow[] {
    return this.#sql.groupsToRetry.all(this.#queue, this.#now, most) as GroupRow[];
  }

  /** Groups that may have items to seal, in order of their turn. */
  toSeal(most: number): GroupRow[] {
    return this.#sql.groupsToSeal.all(this.#queue, this.#now, most) as GroupRow[];
  }

  /** When a group of the queue has to be looked at that has not to be now. */
  nextLookAt(): number | null {
    const row = this.#sql.nextLook.get({ queue: this.#queue, now: this.#now });
    const { ready, wake } = row as { readonly ready: number | null; readonly wake: number | null };
    if (ready === null || wake === null) return ready ?? wake;
    return Math.min(ready, wake);
  }

  byId(id: number): GroupRow {
    return this.#sql.groupById.get(id) as GroupRow;
  }

  /** Notes that the group is at its limit, if it is. */
  isBlocked(group: GroupRow): boolean {
    group.blocked = group.active >= this.#caps.groupConcurrency ? 1 : 0;
    return group.blocked === 1;
  }

  /** True when a sealed batch of the group may run now. Otherwise notes when. */
  hasRetry(group: GroupRow): boolean {
    group.ready_at = this.#firstReadyAt(group);
    return group.ready_at !== null && group.ready_at <= this.#now;
  }

  /** Why the group's items are due. Otherwise notes when they will be. */
  dueReason(group: GroupRow): FlushReason | null {
    const waiting = this.#waiting(group);
    const reason = dueReason(waiting, this.#caps, this.#now);
    if (reason === null) group.wake_at = lookAt(waiting, this.#caps, this.#now);
    return reason;
  }

  /** A batch of the group was claimed: it goes to the back of both lines. */
  served(group: GroupRow): void {
    group.active++;
    group.turn = this.#nextTurn();
    this.isBlocked(group);
    const readyAt = this.#firstReadyAt(group);
    const wakeAt = lookAt(this.#waiting(group), this.#caps, this.#now);
    group.ready_at = readyAt === null ? null : Math.max(readyAt, this.#now);
    group.wake_at = wakeAt === null ? null : Math.max(wakeAt, this.#now);
  }

  save(group: GroupRow): void {
    const { id, items, bytes, head, skip, active, ready, blocked, turn } = group;
    const { due_at: dueAt, ready_at: readyAt, wake_at: wakeAt } = group;
    this.#sql.saveGroup.run(
      items,
      bytes,
      head,
      skip,
      dueAt,
      active,
      ready,
      blocked,
      readyAt,
      wakeAt,
      turn,
      id,
    );
  }

  #firstReadyAt({ id, ready }: GroupRow): number | null {
    if (ready === 0) return null;
    const row = this.#sql.firstReadyAt.get(this.#queue, id) as { readonly at: number | null };
    return row.at;
  }

  #waiting(group: GroupRow): Waiting {
    const { items, bytes, head, flush_to: flushTo } = group;
    const flushed = items > 0 && head <= flushTo;
    const { maxSize, maxBytes } = this.#caps;
    // The time does not matter to what is due anyway; so a backlog is never searched for it.
    const due = flushed || items === 0 || items >= maxSize || bytes >= maxBytes;
    const dueAt = due ? this.#now : this.#dueAt(group);
    return { items, bytes, dueAt, flushed };
  }

  #dueAt(group: GroupRow): number {
    if (group.due_at === null) {
      const { grp, head } = group;
      const first = this.#sql.firstDue.get(this.#queue, grp, head, this.#counted);
      group.due_at = (first as { readonly at: number | null }).at ?? this.#now;
    }
    return group.due_at;
  }
}
