/** When the loop runs next: at once, at a time, and at least once in a while. */
import type { Clock, Timer } from "../core/clock.ts";

/**
 * Calls `run` when somebody asks for it. Requests of one turn of the event loop share one call, and
 * of several times only the earliest is kept: whoever runs finds out what is next.
 */
export class Wake {
  readonly #clock: Clock;
  readonly #run: () => void;
  #soon = false;
  #timer: Timer | undefined;
  #timerAt = Number.POSITIVE_INFINITY;
  #stopped = false;

  constructor(clock: Clock, run: () => void) {
    this.#clock = clock;
    this.#run = run;
  }

  /** Runs once the current turn of the event loop is over. */
  now(): void {
    if (this.#soon || this.#stopped) return;
    this.#soon = true;
    this.#clock.soon(() => {
      this.#soon = false;
      if (!this.#stopped) this.#run();
    });
  }

  /** Runs in `ms` at the latest. */
  within(ms: number): void {
    if (this.#stopped) return;
    const at = this.#clock.monotonicMs() + ms;
    if (at >= this.#timerAt) return;
    this.#timer?.cancel();
    this.#timerAt = at;
    this.#timer = this.#clock.after(ms, () => {
      this.#timer = undefined;
      this.#timerAt = Number.POSITIVE_INFINITY;
      this.now();
    });
  }

  stop(): void {
    this.#stopped = true;
    this.#timer?.cancel();
    this.#timer = undefined;
  }
}

/** Something to wait for that may happen again and again. */
export class Signal {
  #waiting: (() => void)[] = [];

  /** Resolves the next time somebody notifies. */
  wait(): Promise<void> {
    return new Promise((resolve) => {
      this.#waiting.push(resolve);
    });
  }

  notify(): void {
    if (this.#waiting.length === 0) return;
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const resolve of waiting) resolve();
  }
}

/** Calls `fn` every `ms`, never twice at a time; the next wait starts when it has ended. */
export class Every {
  readonly #clock: Clock;
  readonly #ms: number;
  readonly #fn: () => Promise<void>;
  #timer: Timer | undefined;
  #running: Promise<void> | undefined;
  #stopped = true;

  constructor(clock: Clock, ms: number, fn: () => Promise<void>) {
    this.#clock = clock;
    this.#ms = ms;
    this.#fn = fn;
  }

  start(): void {
    this.#stopped = false;
    this.#next();
  }

  /** Takes back the timer and waits for a call that is under way. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#timer?.cancel();
    await this.#running;
  }

  #next(): void {
    if (this.#stopped) return;
    this.#timer = this.#clock.after(this.#ms, () => {
      this.#running = this.#fn().finally(() => this.#next());
    });
  }
}
