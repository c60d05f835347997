/** What an item goes through before the intake takes it: its group, its text, its size. */
import { SEPARATOR, type Codec } from "../core/codec.ts";
import { BatchworkError } from "../core/errors.ts";
import { GROUP_KEY_CHARACTERS_MAX, ITEM_BYTES_MAX } from "../core/limits.ts";
import { SubmittedItem, submittedText } from "../core/submitted.ts";
import type { IntakeItem } from "./intake.ts";
import type { Queue } from "./queue.ts";

/** What an {@link Entrance} is made of. */
export interface EntranceOptions<T> {
  readonly queue: Queue;
  readonly groupBy: ((item: T) => string) | undefined;
  readonly deduplicateBy: ((item: T) => string) | undefined;
  readonly codec: Codec;
  /** How the storage keeps items. */
  readonly payload: "text" | "reference";
}

/**
 * The items of a definition are mostly alike, and an attempt that fails is not free: after one,
 * there is none for so many pieces.
 */
const ONE_BY_ONE = 100;

export class Entrance<T> {
  /** False where items are kept as they are and nothing asks for their size. */
  readonly measured: boolean;
  readonly #queue: Queue;
  readonly #groupBy: ((item: T) => string) | undefined;
  readonly #deduplicateBy: ((item: T) => string) | undefined;
  readonly #codec: Codec;
  readonly #asText: boolean;
  /** Most bytes of an item. */
  readonly #most: number;
  /** So many more times items go in one by one without an attempt at all of them. */
  #oneByOne = 0;

  constructor({ queue, groupBy, deduplicateBy, codec, payload }: EntranceOptions<T>) {
    this.#queue = queue;
    this.#groupBy = groupBy;
    this.#deduplicateBy = deduplicateBy;
    this.#codec = codec;
    this.#asText = payload === "text";
    this.#most = Math.min(ITEM_BYTES_MAX, queue.maxBytes);
    const { maxBytes, maxPending } = queue;
    const most = Math.min(maxBytes, maxPending?.bytes ?? maxBytes);
    this.measured = this.#asText || most < Number.POSITIVE_INFINITY;
  }

  /**
   * The item as the intake takes it: encoded, measured, with its group. Throws `ITEM_INVALID`,
   * `ITEM_TOO_LARGE`.
   */
  accept(item: T): IntakeItem {
    if (this.#deduplicateBy !== undefined) {
      const dedupKey = this.#keyOf("deduplicateBy", this.#deduplicateBy, item);
      return { ...this.#accept(item), dedupKey };
    }
    return this.#accept(item);
  }

  /** The same item as one of which the result is kept. Throws `ITEM_TOO_LARGE`. */
  submitted<I extends IntakeItem>(accepted: I): I {
    const { value, bytes } = accepted;
    const { resultTtlMs } = this.#queue;
    if (!this.#asText) return { ...accepted, value: new SubmittedItem(value, resultTtlMs) };
    const text = submittedText(value as string, resultTtlMs);
    const more = text.length - (value as string).length;
    return { ...accepted, value: text, bytes: this.#checked(bytes + more) };
  }

  /** True where items have keys of `deduplicateBy`. */
  get deduplicates(): boolean {
    return this.#deduplicateBy !== undefined;
  }

  #accept(item: T): IntakeItem {
    const group = this.groupOf(item);
    if (!this.measured) return { group, value: item, bytes: 0 };
    const text = this.#codec.encode(item);
    const bytes = this.#checked(Buffer.byteLength(text));
    return { group, value: this.#asText ? text : item, bytes };
  }

  /**
   * The same for items that will share a chunk, encoded at once. `null` where they have to go in
   * one by one: there may be something to say about one of them, or they have groups, or take up
   * more than a single item may.
   */
  #acceptAll(items: readonly T[]): IntakeItem | null {
    if (!this.#asText || this.#groupBy !== undefined || this.deduplicates) return null;
    if (this.#oneByOne > 0) {
      this.#oneByOne--;
      return null;
    }
    const value = this.#codec.encodeAll(items);
    if (value === null) {
      this.#oneByOne = ONE_BY_ONE;
      return null;
    }
    const bytes = Buffer.byteLength(value) - SEPARATOR.length * (items.length - 1);
    return bytes > this.#most ? null : { group: "", value, bytes, count: items.length };
  }

  /** The items, those as one that can share a chunk. `kept`: so are their results. */
  accepted(items: readonly T[], kept: boolean): IntakeItem[] {
    if (kept) return items.map((item) => this.submitted(this.accept(item)));
    const whole = this.#acceptAll(items);
    return whole === null ? items.map((item) => this.accept(item)) : [whole];
  }

  /** Throws `OPTION_INVALID` where results of items cannot be kept. */
  refuseToKeep(): void {
    if (!this.deduplicates) return;
    const message =
      `"${this.#queue.name}" has deduplicateBy, so an item may be left out later on and never ` +
      "have a result: leave one of the two out, or submit with an idempotencyKey instead.";
    throw new BatchworkError("OPTION_INVALID", message, { field: "keepResult" });
  }

  /** The text of an item that was accepted. Throws `ITEM_INVALID` where there cannot be one. */
  textOf(item: T, { value }: IntakeItem): string {
    return this.#asText ? (value as string) : this.#codec.encode(item);
  }

  #checked(bytes: number): number {
    const most = this.#most;
    if (bytes <= most) return bytes;
    const { name } = this.#queue;
    const message = `An item of "${name}" has ${bytes} bytes; at most ${most} are allowed.`;
    throw new BatchworkError("ITEM_TOO_LARGE", message, { field: "item", value: bytes });
  }

  groupOf(item: T): string {
    if (this.#groupBy === undefined) return "";
    return this.#keyOf("groupBy", this.#groupBy, item);
  }

  #keyOf(option: "groupBy" | "deduplicateBy", by: (item: T) => unknown, item: T): string {
    const key = by(item);
    // UTF-8 has no lone surrogates: a database would give back another key, shared by many.
    const isText = typeof key === "string" && key.isWellFormed();
    if (isText && key.length <= GROUP_KEY_CHARACTERS_MAX) return key;
    const found = typeof key === "string" ? `a string of ${key.length}` : typeof key;
    const message =
      `${option} of "${this.#queue.name}" must return a well-formed string of at most ` +
      `${GROUP_KEY_CHARACTERS_MAX} characters, not ${found}.`;
    throw new BatchworkError("ITEM_INVALID", message, { field: option, value: key });
  }
}
