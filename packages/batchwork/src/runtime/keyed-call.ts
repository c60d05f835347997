/** One call of items with idempotency keys, on its way to the storage. */
import { BatchworkError } from "../core/errors.ts";
import type { KeyedAnswer, KeyedAppend, KeyedChunk, KeyedItem } from "../core/keyed.ts";
import { itemId } from "../core/members.ts";
import { fitsInto, refusalOf, type Amount } from "../core/pending.ts";
import type { AddResult, IntakeItem } from "./intake.ts";
import type { LimitedQueue } from "./limited-intake.ts";
import { OpenChunk, type LandedChunk } from "./open-chunk.ts";

/** An item with the key it is stored under. */
export interface KeyedIntakeItem extends IntakeItem {
  /** `null` stores it each time. */
  readonly key: string | null;
  /** Equal for equal content. */
  readonly digest: string;
}

/** What a keyed append needs to know of its queue. */
export interface KeyedQueue extends LimitedQueue {
  readonly keyTtlMs: number;
}

/** What a queue without a limit has room for. */
const NO_LIMIT: Amount = { items: Number.POSITIVE_INFINITY, bytes: Number.POSITIVE_INFINITY };

export class KeyedCall {
  readonly queue: KeyedQueue;
  /** Without those that repeat another one of the call. */
  readonly items: readonly KeyedIntakeItem[];
  /** Its keys. */
  readonly keys: readonly string[];
  readonly promise: Promise<AddResult[]>;
  bytes = 0;
  /** How long it has waited for a transaction of somebody else's, ms. */
  waitedMs = 0;
  /** For each item that was given, its place among `items`. */
  readonly #places: readonly number[];
  #resolve!: (results: AddResult[]) => void;
  #reject!: (error: unknown) => void;

  /** Throws `KEY_CONFLICT` where two items of other content have one key. */
  constructor(queue: KeyedQueue, given: readonly KeyedIntakeItem[]) {
    this.queue = queue;
    const items: KeyedIntakeItem[] = [];
    const byKey = new Map<string, number>();
    this.#places = given.map((item) => {
      const { key, digest, bytes } = item;
      const place = key === null ? undefined : byKey.get(key);
      if (key !== null && place !== undefined) {
        if (items[place]?.digest !== digest) throw conflict(key);
        return place;
      }
      if (key !== null) byKey.set(key, items.length);
      this.bytes += bytes;
      return items.push(item) - 1;
    });
    this.items = items;
    this.keys = [...byKey.keys()];
    this.promise = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
    // Nobody may be waiting (the caller did not await): that is no unhandled rejection of ours.
    this.promise.catch(() => undefined);
  }

  /** What it has in common with other calls of its queue. */
  get scope(): object {
    return this.queue.scope ?? this.queue;
  }

  /** True where it may wait for room that it needs. */
  mayWait(need: Amount): boolean {
    const { maxPending } = this.queue;
    return maxPending?.policy === "wait" && fitsInto(maxPending, need);
  }

  /** True for two calls of one item each, with the same key and content. */
  equals({ queue, items }: KeyedCall): boolean {
    const [mine, theirs] = [this.items[0], items[0]];
    const single = this.#places.length === 1 && items.length === 1 && this.items.length === 1;
    return (
      single && queue === this.queue && mine?.key === theirs?.key && mine?.digest === theirs?.digest
    );
  }

  /** The storage's answer. */
  answer(answer: KeyedAnswer): void {
    try {
      this.#resolve(this.results(answer));
    } catch (error) {
      this.#reject(error);
    }
  }

  fail(error: unknown): void {
    this.#reject(error);
  }

  /** What the caller is told. Throws `KEY_CONFLICT`, `STORAGE_BUSY`. */
  results(answer: KeyedAnswer): AddResult[] {
    if (answer.kind === "conflict") throw conflict(answer.key);
    if (answer.kind === "busy") throw busy();
    if (answer.kind === "full") {
      throw refusalOf(this.queue.maxPending ?? NO_LIMIT, answer.room, answer.need);
    }
    const told = new Set<number>();
    return this.#places.map((n): AddResult => {
      const { chunk, index, duplicate } = answer.places[n] as (typeof answer.places)[number];
      const repeat = told.has(n);
      told.add(n);
      return { id: itemId(chunk, index), duplicate: duplicate || repeat };
    });
  }
}

/** Several calls as one append. */
export class KeyedRequest {
  readonly append: KeyedAppend;
  readonly #calls: readonly KeyedCall[];
  readonly #chunks: OpenChunk[] = [];
  readonly #open = new Map<KeyedQueue, Map<string, number>>();

  /** Once their queues have ids. */
  constructor(calls: readonly KeyedCall[]) {
    this.#calls = calls;
    const items: KeyedItem[] = [];
    const chunks: KeyedChunk[] = [];
    for (const [call, { queue, items: given }] of calls.entries()) {
      for (const { group, value, bytes, key, digest } of given) {
        const chunk = this.#chunkFor(queue, group, bytes);
        const { id, maxWaitMs: dueInMs, keyTtlMs, maxPending: limit } = queue;
        const header = { queue: id, group, dueInMs, keyTtlMs };
        chunks[chunk] ??= limit === undefined ? header : { ...header, limit };
        items.push({ call, chunk, key, digest, value, bytes });
      }
    }
    this.append = { chunks, items };
  }

  /** What was stored of it, by chunk. */
  landed(answers: readonly KeyedAnswer[]): LandedChunk[] {
    const nothing = { count: 0, bytes: 0, firstId: "" };
    const landed = this.#chunks.map(({ queue, group }) => ({ queue, group, ...nothing }));
    let next = 0;
    for (const [n, { items }] of this.#calls.entries()) {
      const answer = answers[n] as KeyedAnswer;
      for (const place of items.keys()) {
        const { chunk, bytes } = this.append.items[next++] as KeyedItem;
        const stored = answer.kind === "stored" ? answer.places[place] : undefined;
        if (stored?.duplicate !== false) continue;
        const to = landed[chunk] as (typeof landed)[number];
        if (to.count === 0) to.firstId = itemId(stored.chunk, stored.index);
        to.count++;
        to.bytes += bytes;
      }
    }
    return landed.filter(({ count }) => count > 0);
  }

  #chunkFor(queue: KeyedQueue, group: string, bytes: number): number {
    let groups = this.#open.get(queue);
    if (groups === undefined) this.#open.set(queue, (groups = new Map<string, number>()));
    let n = groups.get(group);
    if (n === undefined || !(this.#chunks[n] as OpenChunk).fits(bytes, 1)) {
      n = this.#chunks.push(new OpenChunk(queue, group)) - 1;
      groups.set(group, n);
    }
    (this.#chunks[n] as OpenChunk).push(null, bytes, 1);
    return n;
  }
}

function conflict(key: string): BatchworkError {
  const message =
    `An item of other content has the idempotencyKey ${JSON.stringify(key)}; nothing of this ` +
    "call was stored. Give each content a key of its own.";
  return new BatchworkError("KEY_CONFLICT", message, { field: "idempotencyKey", value: key });
}

function busy(): BatchworkError {
  const message =
    "A transaction that is still open has added an item with the same idempotencyKey; nothing " +
    "of this call was stored. Try again, and look for a transaction that is left open.";
  return new BatchworkError("STORAGE_BUSY", message, { field: "idempotencyKey" });
}
