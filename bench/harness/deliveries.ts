/** The check that makes a number worth printing: every item was delivered, and delivered once. */
export class Deliveries {
  /** Resolves when every item was delivered at least once. */
  readonly complete: Promise<void>;
  readonly #seen: Uint8Array;
  readonly #settle: () => void;
  #missing: number;

  constructor(count: number) {
    this.#seen = new Uint8Array(count);
    this.#missing = count;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.complete = promise;
    this.#settle = resolve;
    if (count === 0) resolve();
  }

  /** Item `id` was handed to a handler, which succeeded. */
  mark(id: number): void {
    const times = this.#seen[id];
    if (times === undefined) throw new Error(`an item that was never added was delivered: ${id}`);
    if (times < 255) this.#seen[id] = times + 1;
    if (times === 0 && --this.#missing === 0) this.#settle();
  }

  /** Throws unless every item was delivered exactly once. */
  verify(): void {
    const repeated = this.#seen.reduce((sum, times) => sum + (times > 1 ? 1 : 0), 0);
    if (this.#missing === 0 && repeated === 0) return;
    throw new Error(
      `of ${this.#seen.length} items ${this.#missing} were lost and ${repeated} came more than once`,
    );
  }
}
