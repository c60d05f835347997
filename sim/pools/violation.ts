/** What must hold of pools, at any time. */

export type PoolInvariant =
  | "acknowledged tasks exist"
  | "enqueue is all or nothing"
  | "one task per key"
  | "a task is what was enqueued"
  | "only the current token writes"
  | "the current token is heard"
  | "tokens increase"
  | "one lease at a time"
  | "what is over is over"
  | "never more than maxParallelism"
  | "never more of a key than may run"
  | "throttle: no more in any span"
  | "maxPending: never more"
  | "claims keep to their limits"
  | "not before its time"
  | "order within a key"
  | "priority goes first"
  | "nothing due is passed over"
  | "the next look is not too late"
  | "what may start does so in time"
  | "cancelled tasks are told to stop in time"
  | "a paused pool starts nothing"
  | "attempts are counted right"
  | "crashes are counted right"
  | "suspects run apart"
  | "runs as often as attempted"
  | "no end without a run"
  | "results are right and stay"
  | "one of cancel and settle wins"
  | "whoever ends is told of, once"
  | "counts add up"
  | "nothing left after stop"
  | "uncaught error"
  | "drains when faults end";

export interface PoolViolation {
  readonly invariant: PoolInvariant;
  readonly message: string;
}
