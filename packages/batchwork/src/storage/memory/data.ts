/** What all views of one memory storage share. Lives as long as anything refers to it. */
import { BatchworkError } from "../../core/errors.ts";
import type { Lease } from "../../core/lease.ts";
import type { Batch } from "./batch.ts";
import { Loops } from "./loops.ts";
import { Queue } from "./queue.ts";
import type { Slice } from "./slice.ts";

/** Finished batches whose settlement is remembered, for callers that lost the reply. */
const SETTLED_KEPT = 1024;

export class MemoryData {
  readonly payload: "text" | "reference";
  /** The latest storage time that any view has read. */
  time = 0;
  /** Transactions that changed something. */
  commits = 0;
  lastChunk = 0;
  lastBatch = 0;
  lastSlice = 0;
  lastDead = 0;
  lastIncarnation = 0;
  /** Batches that are not done. */
  readonly batches = new Map<number, Batch>();
  /** Slices of tasks that are not over. */
  readonly slices = new Map<number, Slice>();
  /** Leased ones of which tasks were cancelled. */
  readonly canceling = new Set<Slice>();
  /** Live incarnations, and when they expire. */
  readonly incarnations = new Map<number, number>();
  readonly loops = new Loops();
  readonly #names = new Map<string, Queue>();
  readonly #queues: Queue[] = [];
  readonly #settledBatches = new Float64Array(SETTLED_KEPT);
  readonly #settledTokens = new Float64Array(SETTLED_KEPT);
  #settled = 0;

  constructor(payload: "text" | "reference") {
    this.payload = payload;
  }

  get queues(): readonly Queue[] {
    return this.#queues;
  }

  /** The queue of that name, new where there is none. */
  define(name: string): Queue {
    let queue = this.#names.get(name);
    if (queue === undefined) {
      queue = new Queue(this.#queues.length + 1);
      this.#names.set(name, queue);
      this.#queues.push(queue);
    }
    return queue;
  }

  queue(id: number): Queue {
    const queue = this.#queues[id - 1];
    if (queue !== undefined) return queue;
    throw new BatchworkError("STORAGE_FAILED", `No queue has the id ${id}: define it first.`, {
      field: "queue",
      value: id,
    });
  }

  /** Notes under which lease a batch was finished. */
  rememberSettled(batch: number, token: number): void {
    const slot = this.#settled++ % SETTLED_KEPT;
    this.#settledBatches[slot] = batch;
    this.#settledTokens[slot] = token;
  }

  /** True when this lease finished its batch not long ago. */
  hasSettled({ batch, token }: Lease): boolean {
    const slot = this.#settledBatches.lastIndexOf(batch);
    return slot >= 0 && this.#settledTokens[slot] === token;
  }
}
