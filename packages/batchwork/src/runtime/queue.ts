/** One batch definition inside an engine: its options, its id in the storage, its free slots. */
import type { Codec } from "../core/codec.ts";
import { CHUNK_ITEMS_MAX } from "../core/limits.ts";
import type { RetryPolicy } from "../core/retry.ts";
import type { Payload, QueueClaim, Storage } from "../storage/storage.ts";
import type { BatchContext } from "./context.ts";
import type { DeadJob } from "./dead-letters.ts";
import { WaitingCounts } from "./waiting.ts";

/** A definition with every default filled in. */
export interface QueueOptions {
  readonly name: string;
  readonly maxSize: number;
  readonly maxBytes: number;
  readonly maxWaitMs: number;
  readonly concurrency: number;
  readonly groupConcurrency: number;
  readonly grouped: boolean;
  readonly retries: RetryPolicy;
  readonly onFailure: "retry" | "bisect";
  readonly timeout: number | undefined;
  readonly handler: (context: BatchContext<never>) => unknown;
  /** Called for dead letters; `undefined` when `deadLetter.enabled` is false. */
  readonly onDead: ((job: DeadJob<never>, error: Error) => unknown) | undefined;
}

export class Queue implements QueueOptions {
  readonly name: string;
  readonly maxSize: number;
  readonly maxBytes: number;
  readonly maxWaitMs: number;
  readonly concurrency: number;
  readonly groupConcurrency: number;
  readonly grouped: boolean;
  readonly retries: RetryPolicy;
  readonly onFailure: "retry" | "bisect";
  readonly timeout: number | undefined;
  readonly handler: (context: BatchContext<unknown>) => unknown;
  readonly onDead: ((job: DeadJob<unknown>, error: Error) => unknown) | undefined;
  /** Most items in a chunk. */
  readonly chunkSize: number;
  readonly waiting: WaitingCounts;
  /** Until then (monotonic ms) items may wait that `waiting` misses: older, or of transactions. */
  unsureUntil = Number.POSITIVE_INFINITY;
  /** Id in the storage; 0 until it is defined there. */
  id = 0;
  /** Handlers of this queue that run in this process. */
  running = 0;
  readonly #codec: Codec;

  constructor(options: QueueOptions, codec: Codec, payload: Storage["payload"]) {
    this.name = options.name;
    this.maxSize = options.maxSize;
    this.maxBytes = options.maxBytes;
    this.maxWaitMs = options.maxWaitMs;
    // A chunk larger than a batch would be read again for each batch that takes a part of it. A
    // storage of references cannot measure an item, so there a cap on bytes takes one a chunk.
    const measured = payload === "text" || options.maxBytes === Number.POSITIVE_INFINITY;
    this.chunkSize = measured ? Math.min(options.maxSize, CHUNK_ITEMS_MAX) : 1;
    this.concurrency = options.concurrency;
    // Without groups there is one group, and only `concurrency` limits it.
    this.groupConcurrency = options.grouped ? options.groupConcurrency : Number.POSITIVE_INFINITY;
    this.grouped = options.grouped;
    this.retries = options.retries;
    this.onFailure = options.onFailure;
    this.timeout = options.timeout;
    // The item type is the caller's: what comes out is what `add` was given.
    this.handler = options.handler as (context: BatchContext<unknown>) => unknown;
    this.onDead = options.onDead as typeof this.onDead;
    this.waiting = new WaitingCounts(options);
    this.#codec = codec;
  }

  /** What a claim asks for; `limit` 0 only asks when to look again. */
  claim(open: boolean): QueueClaim {
    return {
      queue: this.id,
      maxSize: this.maxSize,
      maxBytes: this.maxBytes,
      groupConcurrency: this.groupConcurrency,
      limit: open ? Math.max(0, this.concurrency - this.running) : 0,
    };
  }

  /** The items of these payloads, in order. */
  decode(payloads: readonly Payload[]): unknown[] {
    if (typeof payloads[0] === "string") return this.#codec.decode(payloads as readonly string[]);
    // A copy, so that a handler may change its array; by hand: flat() takes ten times as long.
    const items: unknown[] = [];
    for (const payload of payloads) for (const item of payload) items.push(item);
    return items;
  }
}
