/** What a batch of a worker can be taken apart into. */

/** The items of a batch; one that is not an array is a single item. */
export class Units {
  readonly items: readonly unknown[];
  /** True when the batch is not an array. */
  readonly whole: boolean;

  constructor(items: readonly unknown[], whole: boolean) {
    this.items = items;
    this.whole = whole;
  }

  static of(batch: unknown): Units {
    return Array.isArray(batch) ? new Units(batch, false) : new Units([batch], true);
  }

  get count(): number {
    return this.items.length;
  }

  /** As `process` takes them. */
  get batch(): unknown {
    return this.whole ? this.items[0] : this.items;
  }

  pick(positions: readonly number[]): Units {
    return new Units(
      positions.map((position) => this.items[position]),
      this.whole,
    );
  }

  /** At most so many of them. */
  first(limit: number): Units {
    return this.count <= limit ? this : new Units(this.items.slice(0, limit), this.whole);
  }

  filter(keep: (item: unknown) => boolean): Units {
    return new Units(this.items.filter(keep), this.whole);
  }
}
