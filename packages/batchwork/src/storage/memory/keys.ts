/** The idempotency keys of one queue. */
import type { HeldKey } from "../../core/keyed.ts";
import type { Batch } from "./batch.ts";
import { Heap, type HeapNode } from "./heap.ts";
import { indexAt, memberCount } from "../../core/members.ts";
import type { Outcome } from "../../core/settle.ts";
import type { Chunk } from "./waiting.ts";

/** One key. Its chunk refers to it as well, so nobody looks a key up when its item ends. */
export class HeldRecord implements HeapNode {
  readonly key: string;
  readonly digest: string;
  readonly ttlMs: number;
  /** Where its item is; another place once that was redriven. */
  place: Pick<HeldKey, "chunk" | "index">;
  /** Until when it is held. */
  at = Number.POSITIVE_INFINITY;
  readonly order = 0;
  index = -1;

  constructor(key: string, { chunk, index, digest }: HeldKey, ttlMs: number) {
    this.key = key;
    this.digest = digest;
    this.ttlMs = ttlMs;
    this.place = { chunk, index };
  }

  /** What an append finds under the key. */
  get held(): HeldKey {
    return { ...this.place, digest: this.digest };
  }
}

export class Keys {
  readonly #records = new Map<string, HeldRecord>();
  /** Keys whose item ended and that are forgotten one day. */
  readonly #ending = new Heap<HeldRecord>();

  get size(): number {
    return this.#records.size;
  }

  /** The key, if it is held. */
  heldAt(now: number, key: string): HeldKey | undefined {
    const record = this.#records.get(key);
    return record === undefined || record.at <= now ? undefined : record.held;
  }

  /** Holds a key that is not held. */
  hold(record: HeldRecord): void {
    const expired = this.#records.get(record.key);
    if (expired !== undefined) this.#ending.remove(expired);
    this.#records.set(record.key, record);
  }

  /** The item of the key ended. */
  ended(record: HeldRecord, now: number): void {
    if (record.ttlMs === Number.POSITIVE_INFINITY) return;
    record.at = now + record.ttlMs;
    this.#ending.push(record);
  }

  /** Deletes up to `most` keys that are held no longer. */
  forget(now: number, most: number): void {
    for (let n = 0; n < most; n++) {
      const record = this.#ending.peek();
      if (record === undefined || record.at > now) return;
      this.#ending.remove(record);
      this.#records.delete(record.key);
    }
  }
}

/** A batch is settled: the items that no child carries on and that are not dead ended. */
export function endKeys(batch: Batch, outcome: Outcome, now: number): void {
  const { chunks, group } = batch.content;
  if (chunks.every(({ keys }) => keys === null)) return;
  const on = new Set<number>();
  if (outcome.kind === "split") {
    for (const { positions } of outcome.children) for (const n of positions) on.add(n);
    for (const { position } of outcome.dead) on.add(position);
  }
  for (const [position, record] of recordsOf(batch).entries()) {
    if (record !== null && !on.has(position)) group.queue.keys.ended(record, now);
  }
}

/** The key of each item of a batch. */
export function recordsOf({ content }: Batch): (HeldRecord | null)[] {
  const records: (HeldRecord | null)[] = [];
  for (const [m, member] of content.members.entries()) {
    const { keys } = content.chunks[m] as Chunk;
    const count = memberCount(member);
    for (let n = 0; n < count; n++) records.push(keys?.[indexAt(member, n)] ?? null);
  }
  return records;
}
