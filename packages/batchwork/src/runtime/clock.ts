/**
 * The real clock: the one file of the project that reads time, draws randomness or sets a timer.
 * Everything else is given a {@link Clock}.
 */
import type { Clock, Timer } from "../core/clock.ts";

/**
 * setTimeout fires at once when the delay does not fit into 31 bits, so longer ones are set in
 * legs.
 */
const LEG_MAX_MS = 2 ** 31 - 1;

/** The process's own clock, timers and randomness. Timers keep the process alive. */
export const systemClock: Clock = {
  wallMs: () => Date.now(),
  monotonicMs: () => performance.now(),
  after: (ms, fn) => {
    let handle: ReturnType<typeof setTimeout>;
    const leg = (left: number): void => {
      const now = Math.min(left, LEG_MAX_MS);
      handle = setTimeout(() => (left > now ? leg(left - now) : fn()), now);
    };
    leg(Math.max(0, ms));
    return { cancel: () => clearTimeout(handle) } satisfies Timer;
  },
  soon: (fn) => {
    setImmediate(fn);
  },
  random: () => Math.random(),
};

/** Resolves after `ms` of the clock's time. */
export function sleep(clock: Clock, ms: number): Promise<void> {
  return new Promise((resolve) => {
    clock.after(ms, resolve);
  });
}

/** Resolves once the current turn of the event loop is over. */
export function turn(clock: Clock): Promise<void> {
  return new Promise((resolve) => {
    clock.soon(resolve);
  });
}
