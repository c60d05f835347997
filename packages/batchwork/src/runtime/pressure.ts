/** Whether this process can take on more work: how full its heap is and how late its timers are. */
import { getHeapStatistics } from "node:v8";

import type { Clock, Timer } from "../core/clock.ts";

/** What is measured of a process. */
export interface Measurements {
  /** Memory that its objects take now, bytes. */
  readonly heapUsed: () => number;
  /** Memory that they may take, bytes. */
  readonly heapLimit: () => number;
}

/** This process. */
export const processMeasurements: Measurements = {
  heapUsed: () => process.memoryUsage().heapUsed,
  heapLimit: () => getHeapStatistics().heap_size_limit,
};

/** What a pool allows. */
export interface PressureLimits {
  /** `undefined` for {@link HEAP_SHARE} of what the heap may grow to. */
  readonly maxHeapMB: number | undefined;
  readonly maxLoopLagMs: number;
}

const MIB = 1024 * 1024;

/** Beyond this part of its limit a heap is collected so often that nothing else happens. */
const HEAP_SHARE = 0.7;

/** How often the event loop is measured while something runs, ms. */
const LAG_EVERY_MS = 50;

/** How long a process under pressure waits before it looks again, ms. */
export const PRESSURE_RETRY_MS = 50;

/** What holds a process back; `null` for nothing. */
export type Held = "heap" | "event loop" | null;

export class Pressure {
  readonly #clock: Clock;
  readonly #limits: PressureLimits;
  readonly #measurements: Measurements;
  #heapMax: number | undefined;
  #timer: Timer | undefined;
  #setAt = 0;
  /** How late the last timer was, ms. */
  #lagMs = 0;

  constructor(clock: Clock, limits: PressureLimits, measurements: Measurements) {
    this.#clock = clock;
    this.#limits = limits;
    this.#measurements = measurements;
  }

  /** Measures the event loop for as long as `busy` says so. */
  watch(busy: () => boolean): void {
    if (this.#timer !== undefined || this.#limits.maxLoopLagMs === Number.POSITIVE_INFINITY) return;
    this.#setAt = this.#clock.monotonicMs();
    this.#timer = this.#clock.after(LAG_EVERY_MS, () => {
      this.#timer = undefined;
      this.#lagMs = this.#clock.monotonicMs() - this.#setAt - LAG_EVERY_MS;
      if (busy() || this.#lagMs > this.#limits.maxLoopLagMs) this.watch(busy);
    });
  }

  /** Why nothing more may be claimed now. */
  held(): Held {
    if (this.#lag() > this.#limits.maxLoopLagMs) return "event loop";
    if (this.#limits.maxHeapMB === Number.POSITIVE_INFINITY) return null;
    return this.#measurements.heapUsed() > this.#most() ? "heap" : null;
  }

  stop(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
  }

  /** A timer that is late right now counts as much as one that was. */
  #lag(): number {
    if (this.#timer === undefined) return this.#lagMs;
    return Math.max(this.#lagMs, this.#clock.monotonicMs() - this.#setAt - LAG_EVERY_MS);
  }

  #most(): number {
    const { maxHeapMB } = this.#limits;
    this.#heapMax ??=
      maxHeapMB === undefined ? HEAP_SHARE * this.#measurements.heapLimit() : maxHeapMB * MIB;
    return this.#heapMax;
  }
}
