/** Tasks of one chunk that are not over, with the same attempt. */
import type { HeapNode } from "./heap.ts";
import type { Lease } from "../../core/lease.ts";
import type { Pool } from "./pool.ts";
import type { Chunk } from "./waiting.ts";

/** What a dead incarnation changed about a slice, and what was known before. */
export interface Suspicion {
  readonly incarnation: number;
  readonly company: number | null;
  readonly crashes: number;
}

/** What slices have in common that were cut from each other. */
export interface SliceOrigin {
  readonly pool: Pool;
  readonly chunk: Chunk;
  /** The group of the chunk. */
  readonly lane: string;
  readonly serialKey: string;
  readonly priority: number;
}

export class Slice implements HeapNode {
  readonly id: number;
  readonly origin: SliceOrigin;
  readonly attempt: number;
  state: "delayed" | "ready" | "suspect" | "leased" = "ready";
  /** When its tasks may start. */
  readonly at: number;
  readonly order: number;
  index = -1;
  /** Its tasks, ascending. */
  indices: readonly number[];
  token = 0;
  owner: number | null = null;
  /** True while the current lease was given to a process that runs nothing else. */
  alone = false;
  /** How many may run together with them; `null` for those that are no suspects. */
  company: number | null = null;
  crashes = 0;
  suspicion: Suspicion | null = null;
  /** Tasks that were cancelled while they ran. */
  readonly canceled = new Set<number>();

  constructor(
    id: number,
    origin: SliceOrigin,
    { indices, attempt, at }: Pick<Slice, "indices" | "attempt" | "at">,
  ) {
    this.id = id;
    this.origin = origin;
    this.indices = indices;
    this.attempt = attempt;
    this.at = at;
    this.order = origin.chunk.id;
  }

  isLeasedUnder({ token }: Lease): boolean {
    return this.state === "leased" && this.token === token;
  }

  /** True when its tasks start before those of `other`, which has the same key. */
  goesBefore(other: Slice): boolean {
    const { priority, chunk } = this.origin;
    if (priority !== other.origin.priority) return priority < other.origin.priority;
    if (this.at !== other.at) return this.at < other.at;
    if (chunk.id !== other.origin.chunk.id) return chunk.id < other.origin.chunk.id;
    return (this.indices[0] as number) < (other.indices[0] as number);
  }
}

/** Puts a slice where it belongs among others that are in order. */
export function insertInOrder(slices: Slice[], slice: Slice): void {
  let low = 0;
  let high = slices.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (slice.goesBefore(slices[middle] as Slice)) high = middle;
    else low = middle + 1;
  }
  slices.splice(low, 0, slice);
}
