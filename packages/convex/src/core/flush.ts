// Copied from packages/batchwork/src/core by codegen/core.ts. Edit it there.
/**
 * When a group of waiting items becomes a batch, and why. The storages ask; nobody else decides.
 */

/** Why a batch was sealed. */
export type FlushReason = "size" | "bytes" | "time" | "flush";

/** What a storage knows about one group's waiting, unsealed items. */
export interface Waiting {
  /** Unsealed items. */
  readonly items: number;
  /** Their bytes. */
  readonly bytes: number;
  /** When the oldest of them has waited `maxWaitMs`; storage time, ms. */
  readonly dueAt: number;
  /** True when `flush()` asked for the oldest of them. */
  readonly flushed: boolean;
}

/** The two caps of a batch. */
export interface BatchCaps {
  /** Most items in a batch. */
  readonly maxSize: number;
  /** Most bytes in a batch; `Infinity` for no cap. */
  readonly maxBytes: number;
}

/** Why the group is due at `now`, or `null`. Whichever comes first (OqronKit: OR). */
export function dueReason(waiting: Waiting, caps: BatchCaps, now: number): FlushReason | null {
  if (waiting.items === 0) return null;
  if (waiting.items >= caps.maxSize) return "size";
  if (waiting.bytes >= caps.maxBytes) return "bytes";
  if (waiting.flushed) return "flush";
  return now >= waiting.dueAt ? "time" : null;
}

/** When to look at the group again: `now` when it is due, `null` when nothing waits. */
export function lookAt(waiting: Waiting, caps: BatchCaps, now: number): number | null {
  if (waiting.items === 0) return null;
  return dueReason(waiting, caps, now) === null ? waiting.dueAt : now;
}

/** One group, with all that decides when a claim has to look at it. */
export interface GroupState extends Waiting {
  /** Batches of the group that are leased now. */
  readonly active: number;
  /** When the first sealed batch of the group that waits for another attempt may run; or `null`. */
  readonly readyAt: number | null;
}

/**
 * When a claim has to look at the group again. `null`: not before something else happens to it (a
 * batch of it is settled, or an item arrives).
 */
export function groupLookAt(
  group: GroupState,
  caps: BatchCaps,
  groupConcurrency: number,
  now: number,
): number | null {
  if (group.active >= groupConcurrency) return null;
  const waiting = lookAt(group, caps, now);
  if (group.readyAt === null) return waiting;
  return waiting === null ? group.readyAt : Math.min(waiting, group.readyAt);
}

/** How much of the next chunk still fits into a batch. */
export interface Room {
  readonly items: number;
  readonly bytes: number;
}

/**
 * How many items of a chunk go into a batch with this much room left, given the bytes of each item.
 * An empty batch takes at least one item, so an item as large as `maxBytes` still moves.
 */
export function fitCount(sizes: readonly number[], room: Room, empty: boolean): number {
  let bytes = 0;
  let count = 0;
  while (count < sizes.length && count < room.items) {
    bytes += sizes[count] as number;
    if (bytes > room.bytes && !(empty && count === 0)) break;
    count++;
  }
  return count;
}
