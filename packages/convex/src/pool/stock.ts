/** What an executor has taken and not begun: in order, and one at a time of each serial key. */
import type { Outcome, Taken } from "./validators.js";

/** An item that waits for a slot. */
export interface Stocked {
  readonly taken: Taken;
  readonly item: Taken["items"][number];
  readonly bytes: number;
}

/** A row that goes back: its items, their bytes, and what they count for. */
export interface Returned {
  readonly work: Outcome["work"];
  readonly items: number;
  readonly bytes: number;
  readonly weight: number;
}

export class Stock {
  readonly #items: Stocked[] = [];
  /** Items of each row that run. */
  readonly #running = new Map<Outcome["work"], number>();
  /** Serial items, and their rows, that are in stock. */
  #serial = 0;

  /** Items in stock. */
  get size(): number {
    return this.#items.length;
  }

  /** Items that more slots could run at once. */
  get ready(): number {
    if (this.#serial === 0) return this.#items.length;
    const waiting = new Set<Outcome["work"]>();
    for (const { taken } of this.#items) {
      if (taken.serial === true && !this.#running.has(taken.work)) waiting.add(taken.work);
    }
    return this.#items.length - this.#serial + waiting.size;
  }

  add(item: Stocked): void {
    this.#items.push(item);
    if (item.taken.serial === true) this.#serial++;
  }

  /** Takes out the next item that may begin. */
  next(): Stocked | undefined {
    const at =
      this.#serial === 0
        ? 0
        : this.#items.findIndex(
            ({ taken }) => taken.serial !== true || !this.#running.has(taken.work),
          );
    const [next] = at < 0 ? [] : this.#items.splice(at, 1);
    if (next === undefined) return undefined;
    const { work, serial } = next.taken;
    if (serial === true) this.#serial--;
    this.#running.set(work, (this.#running.get(work) ?? 0) + 1);
    return next;
  }

  /** An item of the row ended. Takes out, and returns, what followed it, if it is to wait. */
  ended({ work }: Taken, isCut: boolean): Stocked[] {
    const running = (this.#running.get(work) ?? 1) - 1;
    if (running > 0) this.#running.set(work, running);
    else this.#running.delete(work);
    return isCut ? this.#remove(({ taken }) => taken.work === work) : [];
  }

  /** Takes out all rows of which nothing runs. */
  drain(): Returned[] {
    const removed = this.#remove(({ taken }) => !this.#running.has(taken.work));
    return [...Map.groupBy(removed, ({ taken }) => taken.work)].map(([work, items]) => ({
      work,
      items: items.length,
      bytes: items.reduce((sum, { bytes }) => sum + bytes, 0),
      weight: items[0]?.taken.serial === true ? 1 : items.length,
    }));
  }

  #remove(isGone: (item: Stocked) => boolean): Stocked[] {
    const gone = this.#items.filter(isGone);
    if (gone.length === 0) return gone;
    const kept = this.#items.filter((item) => !isGone(item));
    this.#items.splice(0, this.#items.length, ...kept);
    this.#serial -= gone.filter(({ taken }) => taken.serial === true).length;
    return gone;
  }
}
