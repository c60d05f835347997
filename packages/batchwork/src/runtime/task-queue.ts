/** One pool inside an engine: its options, its queue in the storage, what it runs here. */
import { joinItems, type Codec } from "../core/codec.ts";
import { ITEM_BYTES_MAX } from "../core/limits.ts";
import { BatchworkError } from "../core/errors.ts";
import type { ResolvedPoolOptions } from "../core/pool-options.ts";
import type { Payload, Storage } from "../storage/storage.ts";
import type { PoolClaim } from "../storage/pools.ts";
import type { BatchEvents, Emitter } from "./events.ts";
import type { Handlers } from "./pool-handlers.ts";
import type { Held, Pressure } from "./pressure.ts";
import type { Queue } from "./queue.ts";

/** What a {@link TaskQueue} is made of. */
export interface TaskQueueParts {
  readonly options: ResolvedPoolOptions;
  /** The queue in the storage, for what pools and batches have in common. */
  readonly queue: Queue;
  /** The queue of batches that is told when tasks end. */
  readonly callbacks: Queue | undefined;
  readonly handlers: Handlers;
  readonly codec: Codec;
  readonly payload: Storage["payload"];
  readonly pressure: Pressure;
}

export class TaskQueue {
  readonly options: ResolvedPoolOptions;
  readonly queue: Queue;
  readonly callbacks: Queue | undefined;
  readonly handlers: Handlers;
  readonly pressure: Pressure;
  /** True where something is made of what a task returns. */
  readonly keepsResults: boolean;
  /** Tasks that run here. */
  running = 0;
  /** Bytes of the slices that are here. */
  bytes = 0;
  readonly #codec: Codec;
  readonly #asText: boolean;

  constructor({ options, queue, callbacks, handlers, codec, payload, pressure }: TaskQueueParts) {
    this.options = options;
    this.queue = queue;
    this.callbacks = callbacks;
    this.handlers = handlers;
    this.pressure = pressure;
    this.keepsResults = options.ttl > 0 || callbacks !== undefined;
    this.#codec = codec;
    this.#asText = payload === "text";
  }

  get name(): string {
    return this.options.name;
  }

  get id(): number {
    return this.queue.id;
  }

  get events(): Emitter<BatchEvents> {
    return this.queue.events;
  }

  /** Why this process takes on no more than one task at a time. */
  held(): Held {
    return this.pressure.held();
  }

  /** What a claim asks for; `limit` 0 only asks when to look again. */
  claim(open: boolean): PoolClaim {
    const { maxBytesPerWorker, maxParallelism, concurrencyPerKey } = this.options;
    const { throttle } = this.queue;
    const maxBytes = Math.max(0, maxBytesPerWorker - this.bytes);
    return {
      ...(throttle === undefined ? {} : { throttle }),
      queue: this.id,
      // A single task always moves, so where there is no room for one none is asked for.
      limit: open && maxBytes > this.#usualBytes() ? this.#free() : 0,
      maxBytes,
      maxParallelism,
      concurrencyPerKey,
    };
  }

  /** What is stored of tasks, decoded, in order. */
  decode(payload: Payload): unknown[] {
    return this.queue.decode([payload]);
  }

  /** A value for the storage. Throws `ITEM_INVALID`, `ITEM_TOO_LARGE`. */
  encode(value: unknown): unknown {
    const text = this.#codec.encode(value);
    if (!this.#asText) return value;
    const bytes = Buffer.byteLength(text);
    if (bytes <= ITEM_BYTES_MAX) return text;
    const message =
      `What a task of "${this.name}" returned has ${bytes} bytes; ` +
      `at most ${ITEM_BYTES_MAX} are kept: return less, or an id of it.`;
    throw new BatchworkError("ITEM_TOO_LARGE", message, { field: "returnValue", value: bytes });
  }

  /** What is to be told of a task, for the storage. Its parts have been encoded before. */
  encodeCallback(told: object): unknown {
    return this.#asText ? this.#codec.encode(told) : told;
  }

  /** Values that were encoded, as the storage takes them. */
  payloadOf(encoded: readonly unknown[]): Payload {
    return this.#asText ? joinItems(encoded as readonly string[]) : encoded;
  }

  /** What one of those that run takes up, on average. */
  #usualBytes(): number {
    return this.running === 0 ? 0 : this.bytes / this.running;
  }

  #free(): number {
    const free = Math.max(0, this.options.maxConcurrencyPerWorker - this.running);
    if (free === 0 || this.held() === null) return free;
    // What fills the heap may be none of ours: one at a time always goes on.
    return this.running === 0 ? 1 : 0;
  }
}
