/**
 * The part of the storage port that limits how often batches of a queue are handed over.
 *
 * Each batch that a claim hands over is a delivery, whatever it was before and whatever becomes of
 * it: a retry, a child, a suspect, one that is given back or whose reply is lost. At most
 * `throttle.max` deliveries of a queue fall into any `throttle.durationMs`, over all processes, in
 * storage time. A claim cuts its limit to what is left of that; where nothing is, it answers with
 * the time at which something will be (`nextAt`), and hands out no suspect either.
 *
 * Claims of queues without a throttle do without any of this.
 */
import type { Throttle } from "../core/throttle.ts";

export interface Throttling {
  /**
   * When the queue may hand over again, storage time; `null` when it may now. Does not say whether
   * there is anything to hand over.
   */
  throttledUntil(queue: number, throttle: Throttle): Promise<number | null>;
}

/** What a claim says of it. */
export interface Throttled {
  /** Without one there is no limit. Claims of one queue with different ones see what they see. */
  readonly throttle?: Throttle;
}
