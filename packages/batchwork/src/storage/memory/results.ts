/** What became of single items of one queue: kept for a while, for whoever waits for it. */
import { placeOf } from "../../core/members.ts";
import type { ItemResult } from "../../core/results.ts";
import type { FinishedResult, FoundResult } from "../results.ts";
import type { MemoryData } from "./data.ts";
import { Heap, type HeapNode } from "./heap.ts";
import type { Queue } from "./queue.ts";

class KeptResult implements HeapNode {
  readonly id: string;
  readonly found: FinishedResult;
  /** Until when it is kept. */
  readonly at: number;
  readonly order = 0;
  index = -1;

  constructor({ id, kind, value, error, ttlMs }: ItemResult, now: number) {
    this.id = id;
    this.found = { status: "finished", kind, value, error, endedAt: now };
    this.at = now + ttlMs;
  }
}

export class Results {
  readonly #kept = new Map<string, KeptResult>();
  /** Those that are forgotten one day. */
  readonly #ending = new Heap<KeptResult>();

  get size(): number {
    return this.#kept.size;
  }

  /** Of two for the same item the first one stays. */
  keep(results: readonly ItemResult[], now: number): void {
    for (const result of results) {
      if (this.#kept.has(result.id)) continue;
      const kept = new KeptResult(result, now);
      this.#kept.set(kept.id, kept);
      if (kept.at < Number.POSITIVE_INFINITY) this.#ending.push(kept);
    }
  }

  get(id: string, now: number): FinishedResult | null {
    const kept = this.#kept.get(id);
    return kept === undefined || kept.at <= now ? null : kept.found;
  }

  /** Deletes up to `most` that are past their time. */
  forget(now: number, most: number): void {
    for (let n = 0; n < most; n++) {
      const kept = this.#ending.peek();
      if (kept === undefined || kept.at > now) return;
      this.#ending.remove(kept);
      this.#kept.delete(kept.id);
    }
  }
}

export function findResults(
  data: MemoryData,
  queue: Queue,
  ids: readonly string[],
  now: number,
): FoundResult[] {
  return ids.map((id) => {
    const kept = queue.results.get(id, now);
    return kept ?? { status: isThere(data, queue, id) ? "pending" : "unknown" };
  });
}

/** True when a chunk or a batch of the queue carries the item. */
function isThere(data: MemoryData, queue: Queue, id: string): boolean {
  const { chunk, index } = placeOf(id);
  for (const { waiting } of queue.groups.values()) {
    const found = waiting.find(chunk);
    if (found !== undefined && index < found.count) return true;
  }
  for (const { content } of data.batches.values()) {
    if (content.group.queue !== queue) continue;
    for (const [n, member] of content.members.entries()) {
      if (member.ids?.includes(id) === true) return true;
      const { count } = content.chunks[n] as { readonly count: number };
      if (member.ids === undefined && member.chunk === chunk && index < count) return true;
    }
  }
  return false;
}
