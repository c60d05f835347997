/** Batches that were claimed start one after the other, with turns for others in between. */
import type { Clock } from "../core/clock.ts";
import { turn } from "./clock.ts";
import { Signal } from "./wake.ts";

/** How much the latest measurement counts. */
const WEIGHT = 0.25;

/**
 * An exchange that begins when half is done takes about two thirds of the time of one for all, and
 * there are two of them: beyond this many times the starts, one later is sooner done than two.
 */
const WORTH = 1.5;

/** What of this process is claimed. */
export interface Held {
  /** Batches that have not ended. */
  readonly running: number;
  /** Batches that have ended, and wait for the exchange. */
  readonly ended: number;
}

/** Starts what was claimed, in order. */
export class Starts<T> {
  readonly #clock: Clock;
  readonly #start: (run: T) => void;
  readonly #remote: boolean;
  readonly #waiting: T[] = [];
  readonly #enough = new Signal();
  /** How many more have to start before whoever put them goes on. */
  #first = 0;
  #starting = false;
  /** How long an exchange takes, and one start, ms. */
  #exchangeMs = Number.POSITIVE_INFINITY;
  #startMs = 0;

  /** `remote`: exchanges are the work of a server, and this process has time meanwhile. */
  constructor(clock: Clock, remote: boolean, start: (run: T) => void) {
    this.#remote = remote;
    this.#clock = clock;
    this.#start = start;
  }

  /** Does an exchange, and notes how long it takes. */
  async exchange<R>(work: () => Promise<R>): Promise<R> {
    const startedAt = this.#clock.monotonicMs();
    const result = await work();
    this.#exchangeMs = averaged(this.#exchangeMs, this.#clock.monotonicMs() - startedAt);
    return result;
  }

  /**
   * Resolves when it is time for the next exchange: once all have started or, where a server is
   * asked and is quick at it, so many that half of what this process has is done. The others start
   * meanwhile.
   */
  async put(runs: readonly T[], { running, ended }: Held): Promise<void> {
    this.#waiting.push(...runs);
    if (this.#waiting.length === 0) return;
    const held = running + ended;
    const early = this.#remote && this.#exchangeMs < WORTH * held * this.#startMs;
    this.#first = early ? Math.max(0, Math.floor(held / 2) - ended) : this.#waiting.length;
    const enough = this.#first === 0 ? undefined : this.#enough.wait();
    if (!this.#starting) void this.#startAll(this.#first === 0);
    return enough;
  }

  async #startAll(later: boolean): Promise<void> {
    this.#starting = true;
    if (later) await turn(this.#clock);
    for (let run = this.#waiting.shift(); run !== undefined; run = this.#waiting.shift()) {
      const startedAt = this.#clock.monotonicMs();
      this.#start(run);
      this.#first--;
      if (this.#waiting.length === 0) break;
      // Decoding a full chunk takes about a millisecond: let others have a turn in between.
      await turn(this.#clock);
      this.#startMs = averaged(this.#startMs, this.#clock.monotonicMs() - startedAt);
      if (this.#first !== 0) continue;
      this.#enough.notify();
      // Whoever waited asks the storage first.
      await turn(this.#clock);
    }
    this.#starting = false;
    this.#enough.notify();
  }
}

/** The average so far with one value more; the first counts as it is. */
function averaged(average: number, value: number): number {
  if (average === 0 || average === Number.POSITIVE_INFINITY) return value;
  return average + WEIGHT * (value - average);
}
