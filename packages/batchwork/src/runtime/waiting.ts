/**
 * What this process knows of the items it has committed and not seen sealed. Only a hint that tells
 * when a look at the storage is worth its cost; the storage decides.
 */
import type { BatchCaps } from "../core/flush.ts";

interface Count {
  items: number;
  bytes: number;
}

/** Counts of one queue, by group. */
export class WaitingCounts {
  readonly #caps: BatchCaps;
  readonly #groups = new Map<string, Count>();
  /** Groups that looked full and are not known to have been claimed since. */
  readonly #full = new Set<string>();

  constructor(caps: BatchCaps) {
    this.#caps = caps;
  }

  /** Counts what was committed; true when that makes the group look full. */
  add(group: string, items: number, bytes: number): boolean {
    const count = this.#groups.get(group);
    if (count === undefined) {
      this.#groups.set(group, { items, bytes });
      return this.#isFull(group, items, bytes);
    }
    count.items += items;
    count.bytes += bytes;
    return this.#isFull(group, count.items, count.bytes);
  }

  /** A batch of the group was sealed here, and this many items are left behind it. */
  sealed(group: string, left: number): void {
    this.#full.delete(group);
    const count = this.#groups.get(group);
    if (left === 0 || count === undefined) {
      this.#groups.delete(group);
      return;
    }
    // The bytes of the rest are not known: take the average.
    count.bytes *= Math.min(1, left / count.items);
    count.items = left;
  }

  /** The storage had nothing more to claim: whatever looked full has gone to other processes. */
  exhausted(): void {
    for (const group of this.#full) this.#groups.delete(group);
    this.#full.clear();
  }

  #isFull(group: string, items: number, bytes: number): boolean {
    const full = items >= this.#caps.maxSize || bytes >= this.#caps.maxBytes;
    if (full) this.#full.add(group);
    return full;
  }
}
