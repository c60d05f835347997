/** A clock that stands still until a test moves it. */
import type { Clock, Timer } from "../core/clock.ts";
import { systemClock, turn } from "../runtime/clock.ts";
import { seededRandom } from "./random.ts";

/** Turns of the event loop in which nothing was left to do, after which nothing will come. */
const QUIET_TURNS = 20;

interface Pending {
  readonly at: number;
  readonly order: number;
  readonly fn: () => void;
}

/** Options of {@link ManualClock}. */
export interface ManualClockOptions {
  /** Wall time at the start, ms since the epoch. Default 2026-01-01. */
  readonly startMs?: number;
  /** Seed of `random()`. Default 1. */
  readonly seed?: number;
}

/**
 * A {@link Clock} that a test moves by hand: `advance(ms)` fires timers in order of time, and lets
 * everything that they start come to rest before the next one fires.
 */
export class ManualClock implements Clock {
  readonly random: () => number;
  #wall: number;
  #monotonic = 0;
  #order = 0;
  #timers: Pending[] = [];
  #soon: (() => void)[] = [];

  constructor(options: ManualClockOptions = {}) {
    this.#wall = options.startMs ?? Date.UTC(2026, 0, 1);
    this.random = seededRandom(options.seed ?? 1);
  }

  wallMs(): number {
    return this.#wall;
  }

  monotonicMs(): number {
    return this.#monotonic;
  }

  after(ms: number, fn: () => void): Timer {
    const pending: Pending = { at: this.#monotonic + Math.max(0, ms), order: this.#order++, fn };
    this.#timers.push(pending);
    return {
      cancel: () => {
        this.#timers = this.#timers.filter((other) => other !== pending);
      },
    };
  }

  soon(fn: () => void): void {
    this.#soon.push(fn);
  }

  /** Timers that are set now. */
  get timerCount(): number {
    return this.#timers.length;
  }

  /** Moves wall time alone, as a correction of the machine's clock does. */
  stepWall(ms: number): void {
    this.#wall += ms;
  }

  /** Lets everything that can happen without time passing happen. */
  async settle(): Promise<void> {
    // Real input and output (a child process, a file) may need several turns; promises need one.
    await turn(systemClock);
    while (this.#soon.length > 0) {
      const batch = this.#soon;
      this.#soon = [];
      for (const fn of batch) fn();
      await turn(systemClock);
    }
  }

  /**
   * Waits for a promise while time stands still, so that what it needs can happen.
   *
   * @throws an error when it is still pending once nothing is left to happen without time passing
   */
  async run<T>(promise: Promise<T>): Promise<T> {
    let pending = true;
    const done = (): void => {
      pending = false;
    };
    promise.then(done, done);
    for (let quiet = 0; pending && quiet < QUIET_TURNS; quiet++) {
      if (this.#soon.length > 0) quiet = 0;
      await this.settle();
    }
    if (pending) throw new Error("Still pending although time stands still: advance the clock.");
    return promise;
  }

  /** Moves time by `ms`, firing each timer at its own moment. */
  async advance(ms: number): Promise<void> {
    await this.settle();
    const end = this.#monotonic + ms;
    for (;;) {
      const next = this.#earliest();
      if (next === undefined || next.at > end) break;
      this.#timers = this.#timers.filter((other) => other !== next);
      this.#moveTo(next.at);
      next.fn();
      await this.settle();
    }
    this.#moveTo(end);
    await this.settle();
  }

  #moveTo(monotonic: number): void {
    const step = Math.max(0, monotonic - this.#monotonic);
    this.#monotonic += step;
    this.#wall += step;
  }

  #earliest(): Pending | undefined {
    let earliest: Pending | undefined;
    for (const timer of this.#timers) {
      if (earliest === undefined || timer.at < earliest.at) earliest = timer;
      else if (timer.at === earliest.at && timer.order < earliest.order) earliest = timer;
    }
    return earliest;
  }
}
