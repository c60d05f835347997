/** `hooks.beforeFlush`: what it may return, and how that is stored. */
import { joinItems, SEPARATOR, type Codec } from "../core/codec.ts";
import { BatchworkError, hasCode } from "../core/errors.ts";
import { CHUNK_BYTES_MAX, chunkEnd, ITEM_BYTES_MAX } from "../core/limits.ts";
import { itemIds } from "../core/members.ts";
import type { ItemResult } from "../core/results.ts";
import { SubmittedItem, submittedText } from "../core/submitted.ts";
import type { PreparedPart } from "../storage/preparation.ts";
import type { ClaimedBatch, Payload } from "../storage/storage.ts";
import { leftOut } from "./run-results.ts";

/** What it needs to know of its queue. */
export interface FlushQueue {
  readonly name: string;
  readonly grouped: boolean;
  readonly maxSize: number;
  readonly maxBytes: number;
  readonly chunkSize: number;
}

/** The function of the user's. */
export type FlushFunction = (items: unknown[], groupKey: string | undefined) => unknown;

/** What became of the items of a batch. */
export interface Flushed {
  readonly items: readonly unknown[];
  /** As they are stored; `null` where nothing changed. */
  readonly parts: readonly PreparedPart[] | null;
  /** Which of them were submitted: for how long the result is kept, by position. */
  readonly ttls: ReadonlyMap<number, number>;
  /** Of those that were submitted and left out. */
  readonly results: readonly ItemResult[];
}

export class BeforeFlush {
  readonly #queue: FlushQueue;
  readonly #call: FlushFunction;
  readonly #codec: Codec;
  readonly #payload: "text" | "reference";

  constructor(queue: FlushQueue, call: FlushFunction, codec: Codec, payload: "text" | "reference") {
    this.#queue = queue;
    this.#call = call;
    this.#codec = codec;
    this.#payload = payload;
  }

  /** Calls the function. The array is its own to change. */
  async call(claimed: ClaimedBatch, items: readonly unknown[]): Promise<readonly unknown[]> {
    const groupKey = this.#queue.grouped ? claimed.group : undefined;
    const made: unknown = await this.#call([...items], groupKey);
    if (!Array.isArray(made)) {
      throw this.#invalid(`must return an array of items, not ${typeof made}`, typeof made);
    }
    // A batch that was sealed under larger caps may stay as it is.
    const most = Math.max(this.#queue.maxSize, claimed.count);
    if (made.length > most) {
      throw this.#invalid(`returned ${made.length} items, at most ${most} fit`, made.length);
    }
    // From here on it is ours.
    return [...(made as readonly unknown[])];
  }

  /**
   * How the items are stored. `submitted` says which of those before were submitted. Throws when
   * they cannot be stored.
   */
  flushed(
    claimed: ClaimedBatch,
    before: readonly unknown[],
    made: readonly unknown[],
    submitted: ReadonlyMap<number, number>,
  ): Flushed {
    const ttls = ttlsOf(before, made, submitted);
    const texts = this.#texts(made, ttls);
    if (this.#isUnchanged(claimed, before, made, texts)) {
      return { items: made, parts: null, ttls: submitted, results: [] };
    }
    const sizes = texts?.map((text) => Buffer.byteLength(text)) ?? made.map(() => 0);
    this.#checkSizes(claimed, sizes);
    const idsBefore = itemIds(claimed.members);
    const ids = placesOf(before, made).map((place) => {
      return place === null ? null : (idsBefore[place] as string);
    });
    const caps = { items: this.#queue.chunkSize, bytes: CHUNK_BYTES_MAX };
    const parts: PreparedPart[] = [];
    for (let from = 0; from < made.length;) {
      const end = chunkEnd(sizes, from, caps);
      const payload: Payload =
        this.#payload === "text"
          ? joinItems((texts as readonly string[]).slice(from, end))
          : asReferences(made, ttls, from, end);
      const bytes = sizes.slice(from, end).reduce((sum, size) => sum + size, 0);
      parts.push({ count: end - from, bytes, payload, ids: ids.slice(from, end) });
      from = end;
    }
    const kept = new Set(ids.filter((id) => id !== null));
    const results = leftOut(this.#queue.name, idsBefore, submitted, kept);
    return { items: made, parts, ttls, results };
  }

  /** `null` where nothing asks for them. */
  #texts(items: readonly unknown[], ttls: ReadonlyMap<number, number>): string[] | null {
    const measured = this.#payload === "text" || this.#queue.maxBytes < Number.POSITIVE_INFINITY;
    if (!measured) return null;
    return items.map((item, index) => {
      try {
        const text = this.#codec.encode(item);
        const ttlMs = ttls.get(index);
        return ttlMs === undefined ? text : submittedText(text, ttlMs);
      } catch (cause) {
        const { message, field } = cause as BatchworkError;
        const what = `hooks.beforeFlush of "${this.#queue.name}", item ${index}: ${message}`;
        const details = field === undefined ? { cause } : { cause, field };
        throw new BatchworkError("ITEM_INVALID", what, details);
      }
    });
  }

  #isUnchanged(
    { payloads }: ClaimedBatch,
    before: readonly unknown[],
    made: readonly unknown[],
    texts: readonly string[] | null,
  ): boolean {
    if (made.length !== before.length) return false;
    if (this.#payload === "reference") return made.every((item, n) => Object.is(item, before[n]));
    return joinItems(texts as readonly string[]) === payloads.join(SEPARATOR);
  }

  #checkSizes(claimed: ClaimedBatch, sizes: readonly number[]): void {
    const { name, maxBytes } = this.#queue;
    const most = Math.min(ITEM_BYTES_MAX, maxBytes);
    const large = sizes.findIndex((size) => size > most);
    if (large !== -1) {
      const found = `item ${large} of ${sizes[large]} bytes; at most ${most} are allowed`;
      const message = `hooks.beforeFlush of "${name}" returned ${found}.`;
      throw new BatchworkError("ITEM_TOO_LARGE", message, { field: "item", value: sizes[large] });
    }
    const bytes = sizes.reduce((sum, size) => sum + size, 0);
    const room = Math.max(maxBytes, claimed.bytes);
    if (bytes > room) throw this.#invalid(`returned ${bytes} bytes, at most ${room} fit`, bytes);
  }

  #invalid(problem: string, value: unknown): BatchworkError {
    const message = `hooks.beforeFlush of "${this.#queue.name}" ${problem}.`;
    return new BatchworkError("HOOK_INVALID", message, { field: "hooks.beforeFlush", value });
  }
}

/** Where the items were before, by identity; `null` for the others. */
function placesOf(before: readonly unknown[], made: readonly unknown[]): (number | null)[] {
  // Equal numbers or strings are told apart by nothing: the first that comes back is the first.
  const places = new Map<unknown, number[]>();
  for (let n = before.length - 1; n >= 0; n--) {
    const known = places.get(before[n]);
    if (known === undefined) places.set(before[n], [n]);
    else known.push(n);
  }
  return made.map((item) => places.get(item)?.pop() ?? null);
}

/** Which of the items were submitted, by their new position. */
function ttlsOf(
  before: readonly unknown[],
  made: readonly unknown[],
  submitted: ReadonlyMap<number, number>,
): ReadonlyMap<number, number> {
  if (submitted.size === 0) return submitted;
  const ttls = new Map<number, number>();
  for (const [position, place] of placesOf(before, made).entries()) {
    const ttlMs = place === null ? undefined : submitted.get(place);
    if (ttlMs !== undefined) ttls.set(position, ttlMs);
  }
  return ttls;
}

function asReferences(
  made: readonly unknown[],
  ttls: ReadonlyMap<number, number>,
  from: number,
  end: number,
): unknown[] {
  return made.slice(from, end).map((item, n) => {
    const ttlMs = ttls.get(from + n);
    return ttlMs === undefined ? item : new SubmittedItem(item, ttlMs);
  });
}

/** How large the batch is that these make up. */
export function sizeOf(parts: readonly PreparedPart[]): { count: number; bytes: number } {
  let [count, bytes] = [0, 0];
  for (const part of parts) {
    count += part.count;
    bytes += part.bytes;
  }
  return { count, bytes };
}

/** True for what has nothing to do with the items: the storage may do better in a moment. */
export function isPassing(error: unknown): boolean {
  return hasCode(error, "STORAGE_FAILED") || hasCode(error, "STORAGE_BUSY");
}
