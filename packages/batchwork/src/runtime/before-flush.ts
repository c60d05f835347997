/** `hooks.beforeFlush`: what it may return, and how that is stored. */
import { joinItems, SEPARATOR, type Codec } from "../core/codec.ts";
import { BatchworkError, hasCode } from "../core/errors.ts";
import { CHUNK_BYTES_MAX, chunkEnd, ITEM_BYTES_MAX } from "../core/limits.ts";
import { itemIds, type Member } from "../core/members.ts";
import type { PreparedPart } from "../storage/preparation.ts";
import type { ClaimedBatch, Payload } from "../storage/storage.ts";

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

  /** How the items are stored. Throws when they cannot be. */
  flushed(claimed: ClaimedBatch, before: readonly unknown[], made: readonly unknown[]): Flushed {
    const texts = this.#texts(made);
    if (this.#isUnchanged(claimed, before, made, texts)) return { items: made, parts: null };
    const sizes = texts?.map((text) => Buffer.byteLength(text)) ?? made.map(() => 0);
    this.#checkSizes(claimed, sizes);
    const ids = idsOf(claimed.members, before, made);
    const caps = { items: this.#queue.chunkSize, bytes: CHUNK_BYTES_MAX };
    const parts: PreparedPart[] = [];
    for (let from = 0; from < made.length;) {
      const end = chunkEnd(sizes, from, caps);
      const payload: Payload =
        this.#payload === "text"
          ? joinItems((texts as readonly string[]).slice(from, end))
          : made.slice(from, end);
      const bytes = sizes.slice(from, end).reduce((sum, size) => sum + size, 0);
      parts.push({ count: end - from, bytes, payload, ids: ids.slice(from, end) });
      from = end;
    }
    return { items: made, parts };
  }

  /** `null` where nothing asks for them. */
  #texts(items: readonly unknown[]): string[] | null {
    const measured = this.#payload === "text" || this.#queue.maxBytes < Number.POSITIVE_INFINITY;
    if (!measured) return null;
    return items.map((item, index) => {
      try {
        return this.#codec.encode(item);
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

/** The ids of the items that were there before, by identity; `null` for the others. */
function idsOf(
  members: readonly Member[],
  before: readonly unknown[],
  made: readonly unknown[],
): (string | null)[] {
  const ids = itemIds(members);
  // Equal numbers or strings are told apart by nothing: the first that comes back is the first.
  const places = new Map<unknown, number[]>();
  for (let n = before.length - 1; n >= 0; n--) {
    const known = places.get(before[n]);
    if (known === undefined) places.set(before[n], [n]);
    else known.push(n);
  }
  return made.map((item) => {
    const place = places.get(item)?.pop();
    return place === undefined ? null : (ids[place] as string);
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
