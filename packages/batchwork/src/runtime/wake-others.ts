/**
 * What processes tell each other where the storage cannot see others' commits: who commits work
 * that it does not take care of itself announces it, and who hears of it looks.
 */
import type { Timer } from "../core/clock.ts";
import type { Storage } from "../storage/storage.ts";
import type { Surroundings } from "./surroundings.ts";
import { WaitingCounts } from "./waiting.ts";
import type { Wake } from "./wake.ts";

/** Most transactions have committed so long after an add in them, ms. */
const COMMITTED_MS = 100;

/** What is told of: a part of a queue. */
export interface Announced {
  readonly maxSize: number;
  readonly maxBytes: number;
  readonly maxWaitMs: number;
}

/** What was announced of one queue, until the others look again by themselves. */
interface Known {
  readonly counts: WaitingCounts;
  /** When the first item of these is due, in monotonic time: they all look then. */
  readonly until: number;
}

export class Others {
  readonly #storage: Storage;
  readonly #around: Surroundings;
  readonly #wake: Wake;
  readonly #known = new Map<Announced, Known>();
  /** The last look that was asked for because of others, in monotonic time. */
  #lookAt = Number.NEGATIVE_INFINITY;
  #later: Timer | undefined;

  constructor(storage: Storage, around: Surroundings, wake: Wake) {
    this.#storage = storage;
    this.#around = around;
    this.#wake = wake;
  }

  /** There is something to do now, and it need not be done here. */
  tell(): void {
    this.#storage.announce?.(0);
  }

  /**
   * Items were committed that others are to take care of. They are told when the first is due, and
   * when a group is full as far as this process knows; what lies between is no news.
   */
  committed(queue: Announced, group: string, items: number, bytes: number): void {
    if (this.#storage.announce === undefined) return;
    const now = this.#around.clock.monotonicMs();
    let known = this.#known.get(queue);
    if (known === undefined || now >= known.until) {
      known = { counts: new WaitingCounts(queue), until: now + queue.maxWaitMs };
      this.#known.set(queue, known);
      this.#storage.announce(queue.maxWaitMs);
    }
    if (!known.counts.add(group, items, bytes)) return;
    known.counts.sealed({ group, count: items, bytes, left: 0 });
    this.tell();
  }

  /** Items were added to a transaction that will probably commit soon; they may fill a batch. */
  committing(queue: Announced): void {
    if (this.#storage.announce === undefined) return;
    const { clock } = this.#around;
    this.#wake.within(queue.maxWaitMs);
    this.#storage.announce(queue.maxWaitMs);
    this.#later ??= clock.after(COMMITTED_MS, () => {
      this.#later = undefined;
      this.#wake.now();
      this.tell();
    });
  }

  /** Another process told: look by then, but no more often than every `pollMs`. */
  heard(ms: number): void {
    const { clock, pollMs } = this.#around;
    if (ms > 0) {
      this.#wake.within(ms);
      return;
    }
    const now = clock.monotonicMs();
    // A look that is still to come may be one too early by then, so it is asked for each time.
    if (now >= this.#lookAt) this.#lookAt = Math.max(now, this.#lookAt + pollMs);
    if (this.#lookAt > now) this.#wake.within(this.#lookAt - now);
    else this.#wake.now();
  }

  stop(): void {
    this.#later?.cancel();
    this.#later = undefined;
  }
}
