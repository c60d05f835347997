/** The tasks of one queue: what waits, by serial key; what is delayed, suspect, leased. */
import { laneOf } from "../../core/lane.ts";
import { indicesOf } from "../../core/indices.ts";
import type { MemoryData } from "./data.ts";
import { Heap, type HeapNode } from "./heap.ts";
import { insertInOrder, Slice, type SliceOrigin } from "./slice.ts";
import { TaskResults } from "./task-results.ts";
import type { Chunk } from "./waiting.ts";

/** A serial key, the empty one included; in line while something of it is to be looked at. */
export class KeyLine implements HeapNode {
  readonly key: string;
  /** The priority of its first task. */
  at = 0;
  /** Its turn. */
  order = 0;
  index = -1;
  /** Leased tasks. */
  running = 0;
  readonly ready: Slice[] = [];

  constructor(key: string) {
    this.key = key;
  }
}

export class Pool {
  readonly queue: number;
  callbacks: number | null = null;
  resultTtlMs = 0;
  parallelism: number | null = null;
  readonly byChunk = new Map<number, Set<Slice>>();
  readonly delayed = new Heap<Slice>();
  readonly suspects: Slice[] = [];
  readonly keys = new Map<string, KeyLine>();
  /** Keys that a claim has to look at, by priority, then by turn. */
  readonly line = new Heap<KeyLine>();
  readonly results = new TaskResults();
  /** Leased tasks. */
  running = 0;
  readonly #data: MemoryData;
  #turn = 0;

  constructor(data: MemoryData, queue: number) {
    this.#data = data;
    this.queue = queue;
  }

  /** Makes a slice of a chunk that was appended. */
  append(lane: string, chunk: Chunk, now: number): void {
    const { serialKey, priority } = laneOf(lane);
    const origin = { pool: this, chunk, lane, serialKey, priority };
    const indices = indicesOf({ from: 0, count: chunk.count });
    this.wait(this.add(origin, { indices, attempt: 1, at: chunk.dueAt }), now);
  }

  add(origin: SliceOrigin, tasks: Pick<Slice, "indices" | "attempt" | "at">): Slice {
    const slice = new Slice(++this.#data.lastSlice, origin, tasks);
    this.#data.slices.set(slice.id, slice);
    const { id } = origin.chunk;
    this.byChunk.set(id, (this.byChunk.get(id) ?? new Set<Slice>()).add(slice));
    return slice;
  }

  /** Takes a slice out that waits nowhere. */
  remove(slice: Slice): void {
    this.#data.slices.delete(slice.id);
    const { id } = slice.origin.chunk;
    const others = this.byChunk.get(id);
    others?.delete(slice);
    if (others?.size === 0) this.byChunk.delete(id);
  }

  /** Puts a slice where claims find it. */
  wait(slice: Slice, now: number): void {
    slice.owner = null;
    if (slice.company !== null) {
      slice.state = "suspect";
      insertSuspect(this.suspects, slice);
    } else if (slice.at > now) {
      slice.state = "delayed";
      this.delayed.push(slice);
    } else {
      slice.state = "ready";
      const line = this.key(slice.origin.serialKey);
      insertInOrder(line.ready, slice);
      this.open(line);
    }
  }

  /** Takes a slice out of wherever it waits. */
  leave(slice: Slice): void {
    if (slice.state === "delayed") this.delayed.remove(slice);
    if (slice.state === "suspect") drop(this.suspects, slice);
    if (slice.state !== "ready") return;
    const line = this.key(slice.origin.serialKey);
    drop(line.ready, slice);
    this.open(line);
  }

  /** Readies delayed slices whose time has come. */
  wake(now: number): void {
    for (;;) {
      const first = this.delayed.peek();
      if (first === undefined || first.at > now) return;
      this.delayed.remove(first);
      this.wait(first, now);
    }
  }

  key(key: string): KeyLine {
    let line = this.keys.get(key);
    if (line === undefined) {
      line = new KeyLine(key);
      line.order = this.nextTurn();
      this.keys.set(key, line);
    }
    return line;
  }

  /** Puts a key in line where it belongs, or takes it out; forgets one that has nothing. */
  open(line: KeyLine): void {
    const [first] = line.ready;
    this.line.remove(line);
    if (first !== undefined) {
      line.at = first.origin.priority;
      this.line.push(line);
    } else if (line.running === 0) this.keys.delete(line.key);
  }

  nextTurn(): number {
    return ++this.#turn;
  }

  /** Tasks of a slice were leased. */
  started(slice: Slice, tasks: number): void {
    this.running += tasks;
    this.key(slice.origin.serialKey).running += tasks;
  }

  /** Tasks of a slice are leased no longer. */
  ended(slice: Slice, tasks: number): void {
    this.running -= tasks;
    const line = this.key(slice.origin.serialKey);
    line.running -= tasks;
    this.open(line);
  }
}

/** Those that were in the fewest crashes go first: so most get through before the next one. */
function insertSuspect(suspects: Slice[], slice: Slice): void {
  let place = suspects.length;
  while (place > 0 && isSuspectBefore(slice, suspects[place - 1] as Slice)) place--;
  suspects.splice(place, 0, slice);
}

function isSuspectBefore(one: Slice, other: Slice): boolean {
  const [few, many] = [one.company as number, other.company as number];
  if (few !== many) return few > many;
  if (one.at !== other.at) return one.at < other.at;
  if (one.order !== other.order) return one.order < other.order;
  return (one.indices[0] as number) < (other.indices[0] as number);
}

function drop(slices: Slice[], slice: Slice): void {
  const place = slices.indexOf(slice);
  if (place >= 0) slices.splice(place, 1);
}
