/** A queue whose front leaves in O(1), however long it is. */

/** Below this an array is moved faster than the question is worth. */
const COMPACT_MIN = 64;

/** First in, first out. */
export class Fifo<T> {
  #entries: (T | undefined)[] = [];
  #front = 0;

  get size(): number {
    return this.#entries.length - this.#front;
  }

  get first(): T | undefined {
    return this.#entries[this.#front];
  }

  get last(): T | undefined {
    return this.size === 0 ? undefined : this.#entries.at(-1);
  }

  /** The first entry that is meant. */
  find(isMeant: (entry: T) => boolean): T | undefined {
    for (let n = this.#front; n < this.#entries.length; n++) {
      const entry = this.#entries[n] as T;
      if (isMeant(entry)) return entry;
    }
    return undefined;
  }

  push(entry: T): void {
    this.#entries.push(entry);
  }

  /** Drops the first entry. */
  shift(): void {
    if (this.size === 0) return;
    // The slot is emptied so that what left can be collected before the array is compacted.
    this.#entries[this.#front++] = undefined;
    if (this.size === 0) {
      this.#entries.length = 0;
      this.#front = 0;
    } else if (this.#front >= COMPACT_MIN && this.#front * 2 > this.#entries.length) {
      this.#entries = this.#entries.slice(this.#front);
      this.#front = 0;
    }
  }

  /** Drops the last entry. */
  pop(): void {
    if (this.size > 0) this.#entries.pop();
  }
}
