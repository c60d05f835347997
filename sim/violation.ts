/** What the simulator reports when a promise was broken. */

/** The invariants that are checked, by the names of the reliability plan. */
export type Invariant =
  | "I-1 acknowledged items exist"
  | "I-3 membership never changes"
  | "I-4 counts add up"
  | "I-5 same id, same content"
  | "I-6 effects exactly once"
  | "I-8 authority"
  | "I-9 tokens increase"
  | "I-10 one lease, group limit"
  | "I-11 transitions"
  | "I-12 attempts"
  | "I-19 nothing left after stop"
  | "seal: only what is due"
  | "seal: order and size"
  | "claim: nothing due is passed over"
  | "claim: no group waits behind another"
  | "claim: in time"
  | "lease that nobody runs"
  | "suspect runs alone"
  | "slow is not dead"
  | "flush and drain mean it"
  | "add is all or nothing"
  | "one item per key"
  | "one item per window and key"
  | "throttle: no more in any span"
  | "maxPending: never more"
  | "order per producer"
  | "time runs, and forward"
  | "onDead is told"
  | "uncaught error"
  | "drains when faults end"
  | "delivered something"
  | "replays to the same trace";

/** The first broken promise of a run. */
export class ViolationError extends Error {
  override readonly name = "ViolationError";
  readonly invariant: Invariant;

  constructor(invariant: Invariant, detail: string) {
    super(`${invariant}: ${detail}`);
    this.invariant = invariant;
  }
}
