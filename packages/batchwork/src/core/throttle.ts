/** How often batches of a queue may be handed over. */

/** A sliding window over the deliveries of a queue, in all processes, in storage time. */
export interface Throttle {
  /** Most deliveries in any `durationMs`. */
  readonly max: number;
  readonly durationMs: number;
}

/** How many more deliveries the window has room for. Definitions may differ: never less than 0. */
export function roomFor({ max }: Throttle, delivered: number): number {
  return Math.max(0, max - delivered);
}

/** Deliveries up to this time are in the window no longer. */
export function windowStart({ durationMs }: Throttle, now: number): number {
  return now - durationMs;
}
