/** How the tasks of one pool ended: kept for a while. */
import { pickText } from "../../core/codec.ts";
import type { FinishedTask } from "../pools.ts";
import type { Payload } from "../storage.ts";
import { Heap, type HeapNode } from "./heap.ts";

/** Tasks of one chunk that ended the same way together. */
class Kept implements HeapNode {
  readonly chunk: number;
  readonly indices: readonly number[];
  readonly end: TaskEnd;
  readonly endedAt: number;
  readonly at: number;
  readonly order = 0;
  index = -1;

  constructor(chunk: number, indices: readonly number[], end: TaskEnd, times: Times) {
    this.chunk = chunk;
    this.indices = indices;
    this.end = end;
    this.endedAt = times.now;
    this.at = times.now + times.ttlMs;
  }
}

interface Times {
  readonly now: number;
  readonly ttlMs: number;
}

/** What tasks have in common that ended together. */
export interface TaskEnd extends Pick<FinishedTask, "kind" | "error"> {
  /** One value each; `null` for none. */
  readonly values: Payload | null;
}

export class TaskResults {
  readonly #byChunk = new Map<number, Set<Kept>>();
  readonly #ending = new Heap<Kept>();

  keep(chunk: number, indices: readonly number[], end: TaskEnd, times: Times): void {
    if (times.ttlMs === 0 || indices.length === 0) return;
    const kept = new Kept(chunk, indices, end, times);
    this.#byChunk.set(chunk, (this.#byChunk.get(chunk) ?? new Set<Kept>()).add(kept));
    if (kept.at < Number.POSITIVE_INFINITY) this.#ending.push(kept);
  }

  get(chunk: number, index: number, now: number): FinishedTask | null {
    for (const { indices, end, endedAt, at } of this.#byChunk.get(chunk) ?? []) {
      const n = indices.indexOf(index);
      if (n < 0 || at <= now) continue;
      const { kind, error, values } = end;
      const value = values === null ? null : oneOf(values, n, indices.length);
      return { status: "finished", kind, value, error, endedAt };
    }
    return null;
  }

  /** Deletes up to `most` that are past their time. */
  forget(now: number, most: number): void {
    for (let n = 0; n < most; n++) {
      const kept = this.#ending.peek();
      if (kept === undefined || kept.at > now) return;
      this.#ending.remove(kept);
      const others = this.#byChunk.get(kept.chunk);
      others?.delete(kept);
      if (others?.size === 0) this.#byChunk.delete(kept.chunk);
    }
  }
}

function oneOf(values: Payload, n: number, count: number): Payload {
  if (typeof values === "string") return pickText(values, { from: n, count: 1 }, count);
  return values.slice(n, n + 1);
}
