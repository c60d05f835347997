/**
 * The one door through which time and randomness come in. Nothing else in the project may read a
 * clock, draw a random number or set a timer; `runtime/clock.ts` holds the real implementation and
 * the tests inject their own.
 */

/** A timer that was set and can be taken back. */
export interface Timer {
  cancel(): void;
}

/** Time, timers and randomness, injected. */
export interface Clock {
  /** Wall time, ms since the epoch. May jump either way. */
  wallMs(): number;
  /** Monotonic time, ms since some start. Never runs back. May have a fraction. */
  monotonicMs(): number;
  /** Calls `fn` once, after at least `ms`. Any `ms` is allowed, also beyond 2^31 - 1. */
  after(ms: number, fn: () => void): Timer;
  /** Calls `fn` once the current turn of the event loop is over. */
  soon(fn: () => void): void;
  /** A number from 0 (included) to 1 (excluded). */
  random(): number;
}

/** What a storage clock remembers between two readings. */
export interface ClockReading {
  /** The last time that was read, ms. */
  readonly at: number;
  /** The monotonic time that belongs to `at`, ms; up to 1 ms before the moment of reading. */
  readonly monotonicMs: number;
}

/**
 * The next reading of a clock that never stops and never runs back (G7): the largest of the stored
 * high-water mark, wall time, and the last reading plus the monotonic time since.
 */
export function advanceClock(
  last: ClockReading,
  storedMs: number,
  wallMs: number,
  monotonicMs: number,
): ClockReading {
  const ran = last.at + Math.max(0, monotonicMs - last.monotonicMs);
  const at = Math.floor(Math.max(storedMs, wallMs, ran));
  // A fraction that was cut off is kept for the next reading. Thrown away, it would stop the clock
  // of a process that reads more than once a ms while wall time is behind.
  return { at, monotonicMs: monotonicMs - Math.max(0, ran - at) };
}
