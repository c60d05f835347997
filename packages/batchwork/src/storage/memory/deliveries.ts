/** The deliveries of a queue that its throttle still counts. */
import { roomFor, windowStart, type Throttle } from "../../core/throttle.ts";
import { Fifo } from "./fifo.ts";

interface Delivered {
  readonly at: number;
  count: number;
}

export class Deliveries {
  readonly #log = new Fifo<Delivered>();
  #count = 0;

  /** How many more there may be now. */
  room(throttle: Throttle, now: number): number {
    const start = windowStart(throttle, now);
    for (let first = this.#log.first; first !== undefined; first = this.#log.first) {
      if (first.at > start) break;
      this.#count -= first.count;
      this.#log.shift();
    }
    return roomFor(throttle, this.#count);
  }

  /** When there may be more; `null` when there may be now. */
  frees(throttle: Throttle, now: number): number | null {
    if (this.room(throttle, now) > 0) return null;
    return (this.#log.first?.at ?? now) + throttle.durationMs;
  }

  note(now: number, count = 1): void {
    const { last } = this.#log;
    this.#count += count;
    if (last?.at === now) last.count += count;
    else this.#log.push({ at: now, count });
  }
}
