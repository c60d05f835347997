/** One batch definition inside an engine: its options, its id in the storage, its free slots. */
import type { Codec, Submitted } from "../core/codec.ts";
import type { SharedDefinition, SharedSettings } from "../core/definition.ts";
import { CHUNK_ITEMS_MAX } from "../core/limits.ts";
import type { PendingLimit } from "../core/pending.ts";
import type { MaxPending, PendingPolicy } from "../core/pending-option.ts";
import { keepsNothing, type Retention } from "../core/retention.ts";
import type { RetryPolicy } from "../core/retry.ts";
import { SubmittedItem } from "../core/submitted.ts";
import type { Throttle } from "../core/throttle.ts";
import type { Payload, QueueClaim, Storage } from "../storage/storage.ts";
import { BeforeFlush, type FlushFunction } from "./before-flush.ts";
import type { BatchContext } from "./context.ts";
import type { DeadJob } from "./dead-letters.ts";
import type { BatchEvents, Emitter } from "./events.ts";
import type { BatchHooks } from "./hooks.ts";
import type { ResultWaiters } from "./result-waiters.ts";
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
  /** `undefined` for no limit. */
  readonly maxPending?: MaxPending | undefined;
  /** What is kept of finished batches; `undefined` for the default. */
  readonly removeOnComplete?: Retention | undefined;
  /** What is kept of dead letters; `undefined` for all. */
  readonly removeOnFail?: Retention | undefined;
  readonly version?: number;
  readonly keyTtlMs: number;
  readonly resultTtlMs: number;
  readonly handler: (context: BatchContext<never>) => unknown;
  /** Called for dead letters; `undefined` when `deadLetter.enabled` is false. */
  readonly onDead: ((job: DeadJob<never>, error: Error) => unknown) | undefined;
  readonly hooks: Omit<BatchHooks<never, never>, "beforeFlush">;
  readonly beforeFlush: ((items: never[], groupKey: string | undefined) => unknown) | undefined;
  readonly tags: readonly string[];
  /** What the size of batches follows; `undefined` for `maxSize`. */
  readonly target: { readonly durationMs: number; readonly minSize: number } | undefined;
}

function limitOf({ items, bytes }: PendingLimit): PendingLimit {
  return { items, bytes };
}

export class Queue implements Omit<
  QueueOptions,
  "beforeFlush" | "deduplicates" | "target" | "removeOnComplete" | "removeOnFail" | "version"
> {
  readonly name: string;
  readonly maxSize: number;
  readonly maxBytes: number;
  readonly maxWaitMs: number;
  readonly concurrency: number;
  groupConcurrency: number;
  readonly grouped: boolean;
  readonly retries: RetryPolicy;
  readonly onFailure: "retry" | "bisect";
  readonly timeout: number | undefined;
  throttle: Throttle | undefined;
  maxPending: MaxPending | undefined;
  /** True where the items of batches that are done are kept. */
  keeps = false;
  /** What this process proposes that all of them agree on. */
  readonly definition: SharedDefinition;
  readonly keyTtlMs: number;
  readonly resultTtlMs: number;
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
  /** Who waits for results here; made when somebody does. */
  waiters: ResultWaiters | undefined;
  /** Handlers of this queue that run in this process. */
  running = 0;
  readonly #codec: Codec;
  readonly #policy: PendingPolicy;

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
    this.maxPending = options.maxPending;
    const { removeOnComplete: completed = null, removeOnFail: failed = null } = options;
    this.definition = {
      version: options.version ?? 1,
      settings: {
        groupConcurrency: this.groupConcurrency,
        throttle: options.throttle ?? null,
        maxPending: options.maxPending === undefined ? null : limitOf(options.maxPending),
        completed,
        failed,
      },
    };
    this.keeps = completed !== null && !keepsNothing(completed);
    this.keyTtlMs = options.keyTtlMs;
    this.resultTtlMs = options.resultTtlMs;
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
    this.#policy = options.maxPending?.policy ?? "reject";
  }

  /** From here on these settings count, whoever made them. */
  follow({ groupConcurrency, throttle, maxPending, completed }: SharedSettings): void {
    // Without groups there is one group, and only `concurrency` limits it.
    this.groupConcurrency = this.grouped ? groupConcurrency : Number.POSITIVE_INFINITY;
    this.throttle = throttle ?? undefined;
    const policy = this.#policy;
    this.maxPending = maxPending === null ? undefined : { ...maxPending, policy };
    this.keeps = completed !== null && !keepsNothing(completed);
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

  /** The text of a value. Throws `ITEM_INVALID`. */
  encode(value: unknown): string {
    return this.#codec.encode(value);
  }

  /** The items of these payloads, in order; `submitted` is told of those that were submitted. */
  decode(payloads: readonly Payload[], submitted?: Submitted): unknown[] {
    if (typeof payloads[0] === "string") {
      return this.#codec.decode(payloads as readonly string[], submitted);
    }
    const items = joined(payloads);
    if (!SubmittedItem.areThere) return items;
    for (let n = 0; n < items.length; n++) {
      const item = items[n];
      if (!(item instanceof SubmittedItem)) continue;
      submitted?.(n, item.ttlMs);
      items[n] = item.item;
    }
    return items;
  }
}

/** The items of all payloads, in an array of its own: a handler may change it. */
function joined(payloads: readonly Payload[]): unknown[] {
  if (payloads.length === 1) return [...(payloads[0] as readonly unknown[])];
  // By hand: flat() takes ten times as long.
  const items: unknown[] = [];
  for (const payload of payloads) for (const item of payload) items.push(item);
  return items;
}
