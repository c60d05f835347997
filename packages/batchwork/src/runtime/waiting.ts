/**
 * What this process knows of the items it has committed and not seen sealed. Only a hint that tells
 * when a look at the storage is worth its cost; the storage decides.
 */
import type { BatchCaps } from "../core/flush.ts";
import type { ClaimedBatch } from "../storage/storage.ts";

interface Count {
  items: number;
  bytes: number;
}

/** What a claim tells of its group. */
export type Sealed = Pick<ClaimedBatch, "group" | "count" | "bytes" | "left">;

/** Counts of one queue, by group. */
export class WaitingCounts {
  readonly #caps: BatchCaps;
  readonly #inexact: boolean;
  readonly #groups = new Map<string, Count>();
  /** Groups that look full. */
  #full = new Set<string>();
  /** Those of them that a look under way was told to ask for, and that it has not claimed. */
  #asked = new Set<string>();
  /** What was committed while a look is under way: its answer may or may not know of it. */
  #since: Map<string, Count> | undefined;

  /** `inexact`: some of what is counted may be left out as duplicates. */
  constructor(caps: BatchCaps, inexact = false) {
    this.#caps = caps;
    this.#inexact = inexact;
  }

  /** Counts what was committed; true when that makes the group look full. */
  add(group: string, items: number, bytes: number): boolean {
    const count = add(this.#since ?? this.#groups, group, items, bytes);
    const before = this.#since === undefined ? undefined : this.#groups.get(group);
    const full =
      count.items + (before?.items ?? 0) >= this.#caps.maxSize ||
      count.bytes + (before?.bytes ?? 0) >= this.#caps.maxBytes;
    if (full) this.#full.add(group);
    return full;
  }

  /** A look at the storage begins. */
  ask(): void {
    this.#asked = this.#full;
    this.#full = new Set();
    this.#since = new Map();
  }

  /** It claimed a batch of the group. */
  sealed({ group, count, bytes, left }: Sealed): void {
    this.#asked.delete(group);
    const known = this.#groups.get(group);
    if (left === 0) this.#groups.delete(group);
    else if (known !== undefined && known.items - count === left) {
      this.#groups.set(group, { items: left, bytes: known.bytes - bytes });
    } else {
      // Others add to it too. The bytes of the rest are not known: take the average.
      this.#groups.set(group, { items: left, bytes: (bytes / count) * left });
    }
  }

  /** The look is over. `exhausted`: what looked full and was not claimed has gone to others. */
  answered(exhausted: boolean): void {
    for (const group of this.#asked) {
      // It is not full yet, but any item from now on may fill it.
      if (exhausted && this.#inexact) continue;
      if (exhausted) this.#groups.delete(group);
      else this.#full.add(group);
    }
    this.#asked = new Set();
    for (const [group, { items, bytes }] of this.#since ?? []) {
      add(this.#groups, group, items, bytes);
    }
    this.#since = undefined;
  }
}

function add(counts: Map<string, Count>, group: string, items: number, bytes: number): Count {
  const count = counts.get(group);
  if (count === undefined) {
    const first = { items, bytes };
    counts.set(group, first);
    return first;
  }
  count.items += items;
  count.bytes += bytes;
  return count;
}
