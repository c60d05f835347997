/** One batch definition inside an engine: its options, its id in the storage, its free slots. */
import type { Codec } from "../core/codec.ts";
import { CHUNK_ITEMS_MAX } from "../core/limits.ts";
import type { RetryPolicy } from "../core/retry.ts";
import type { Throttle } from "../core/throttle.ts";
import type { Payload, QueueClaim, Storage } from "../storage/storage.ts";
import { BeforeFlush, type FlushFunction } from "./before-flush.ts";
import type { BatchContext } from "./context.ts";
import type { DeadJob } from "./dead-letters.ts";
import type { BatchEvents, Emitter } from "./events.ts";
import type { BatchHooks } from "./hooks.ts";
import { SizeControl } from "./size-control.ts";
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
  /** True with `deduplicateBy`. */
  readonly deduplicates: boolean;
  readonly retries: RetryPolicy;
  readonly onFailure: "retry" | "bisect";
  readonly timeout: number | undefined;
  /** How often batches may be handed over; `undefined` for no limit. */
  readonly throttle: Throttle | undefined;
  readonly keyTtlMs: number;
  readonly handler: (context: BatchContext<never>) => unknown;
  /** Called for dead letters; `undefined` when `deadLetter.enabled` is false. */
  readonly onDead: ((job: DeadJob<never>, error: Error) => unknown) | undefined;
  readonly hooks: Omit<BatchHooks<never, never>, "beforeFlush">;
  readonly beforeFlush: ((items: never[], groupKey: string | undefined) => unknown) | undefined;
  readonly tags: readonly string[];
  /** What the size of batches follows; `undefined` for `maxSize`. */
  readonly target: { readonly durationMs: number; readonly minSize: number } | undefined;
}

export class Queue implements Omit<QueueOptions, "beforeFlush" | "deduplicates" | "target"> {
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
  readonly throttle: Throttle | undefined;
  readonly keyTtlMs: number;
  readonly handler: (context: BatchContext<unknown>) => unknown;
  readonly onDead: ((job: DeadJob<unknown>, error: Error) => unknown) | undefined;
  readonly hooks: BatchHooks<unknown>;
  readonly tags: readonly string[];
  readonly events: Emitter<BatchEvents>;
  readonly beforeFlush: BeforeFlush | undefined;
  /** True when a hook wants to be told of items. */
  readonly hooked: boolean;
  /** How many items claims ask for. */
  readonly size: SizeControl;
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

  constructor(
    options: QueueOptions,
    codec: Codec,
    payload: Storage["payload"],
    events: Emitter<BatchEvents>,
  ) {
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
    this.throttle = options.throttle;
    this.keyTtlMs = options.keyTtlMs;
    // The item type is the caller's: what comes out is what `add` was given.
    this.handler = options.handler as (context: BatchContext<unknown>) => unknown;
    this.onDead = options.onDead as typeof this.onDead;
    this.hooks = options.hooks as BatchHooks<unknown>;
    this.hooked = this.hooks.onSuccess !== undefined || this.hooks.onFail !== undefined;
    const { beforeFlush } = options;
    if (beforeFlush !== undefined) {
      this.beforeFlush = new BeforeFlush(this, beforeFlush as FlushFunction, codec, payload);
    }
    this.tags = options.tags;
    this.events = events;
    this.size = new SizeControl(options);
    this.waiting = new WaitingCounts(this.size, options.deduplicates);
    this.#codec = codec;
  }

  /** What a claim asks for; `limit` 0 only asks when to look again. */
  claim(open: boolean): QueueClaim {
    return {
      ...(this.throttle === undefined ? {} : { throttle: this.throttle }),
      queue: this.id,
      maxSize: this.size.maxSize,
      maxBytes: this.maxBytes,
      groupConcurrency: this.groupConcurrency,
      limit: open ? Math.max(0, this.concurrency - this.running) : 0,
    };
  }

  /** The items of these payloads, in order. */
  decode(payloads: readonly Payload[]): unknown[] {
    if (typeof payloads[0] === "string") return this.#codec.decode(payloads as readonly string[]);
    // A copy, so that a handler may change its array.
    if (payloads.length === 1) return [...(payloads[0] as readonly unknown[])];
    // By hand: flat() takes ten times as long.
    const items: unknown[] = [];
    for (const payload of payloads) for (const item of payload) items.push(item);
    return items;
  }
}
