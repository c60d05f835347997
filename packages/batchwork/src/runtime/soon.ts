/** When the next step runs: once everybody who is about to add has done so. */
import type { Clock, Timer } from "../core/clock.ts";

/**
 * Steps in a row without a turn of the event loop, which callers that add in a loop would otherwise
 * keep for themselves.
 */
const STREAK_MAX = 16;

/** Puts off steps of one storage. */
export class Soon {
  readonly #clock: Clock;
  readonly #inMemory: boolean;
  /** Steps since the last turn of the event loop. */
  #streak = 0;

  constructor(clock: Clock, inMemory: boolean) {
    this.#clock = clock;
    this.#inMemory = inMemory;
  }

  /** Runs `step` in so many ms, more or less. */
  after(ms: number, step: () => void): Timer {
    return this.#clock.after(ms * (0.5 + this.#clock.random()), step);
  }

  /**
   * Runs `step` once the current turn of the event loop is over, so that one commit carries
   * whatever comes in it. Memory has no commit whose cost is to be shared, and a turn costs as much
   * as hundreds of adds: there it runs after the microtasks that are queued already.
   */
  run(step: () => void): void {
    if (this.#inMemory && this.#streak < STREAK_MAX) {
      this.#streak++;
      void Promise.resolve().then(step);
      return;
    }
    this.#clock.soon(() => {
      this.#streak = 0;
      step();
    });
  }
}
