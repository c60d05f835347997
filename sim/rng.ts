/** Draws from one seeded generator, so a run is decided by its seed alone. */
import { seededRandom } from "../packages/batchwork/src/testing/random.ts";

export class Rng {
  readonly #next: () => number;

  constructor(seed: number) {
    this.#next = seededRandom(seed);
  }

  /** From 0 (included) to 1 (excluded). */
  unit(): number {
    return this.#next();
  }

  /** From `low` (included) to `high` (excluded). */
  between(low: number, high: number): number {
    return low + this.#next() * (high - low);
  }

  /** A whole number from `low` to `high`, both included. */
  whole(low: number, high: number): number {
    return low + Math.floor(this.#next() * (high - low + 1));
  }

  chance(probability: number): boolean {
    return this.#next() < probability;
  }

  pick<T>(from: readonly T[]): T {
    return from[Math.floor(this.#next() * from.length)] as T;
  }

  /** Exponentially distributed, so both short and long gaps come up. */
  exponential(mean: number): number {
    return -Math.log(1 - this.#next()) * mean;
  }
}
