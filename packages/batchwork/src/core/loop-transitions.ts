/** The states of a loop and every edge between them. Storages check each write against it. */

/**
 * - `active`: has a time at which it runs, or runs.
 * - `idle`: has nothing to do before a ping or, if it set itself one, a time.
 * - `paused`: runs no more until it is resumed; an owner may still end its step.
 * - `failed`: gave up, and keeps the error; may be resumed.
 * - `done`, `cancelled`: never left again.
 */
export type LoopStatus = "active" | "idle" | "paused" | "failed" | "done" | "cancelled";

/** Proof that a process owns a loop. */
export interface LoopLease {
  readonly loop: number;
  /** Strictly increasing per loop, never reused. */
  readonly token: number;
}

/** What a user may ask of a loop. */
export type LoopControl = "pause" | "resume" | "cancel" | "kick";

/** What can happen to a loop. */
export type LoopEvent =
  | LoopControl
  /** Somebody has work for it. */
  | "ping"
  /** The time came that an idle loop set itself. */
  | "wake"
  /** The owner wrote a step and goes on. */
  | "advance"
  /** The owner looked and found nothing. */
  | "rest"
  /** The owner is through. */
  | "finish"
  /** The owner gives up. */
  | "fail";

/** Where each event leads, from each state in which it may happen. */
export const LOOP_TRANSITIONS = {
  active: {
    // The normal case: one step after another.
    advance: "active",
    // Looked inside the transaction that writes this, so nothing can have come unseen.
    rest: "idle",
    finish: "done",
    fail: "failed",
    // The owner's step that is under way is still written.
    pause: "paused",
    // Takes the token away: what is under way is not written.
    cancel: "cancelled",
    // Due now instead of later.
    kick: "active",
  },
  idle: {
    ping: "active",
    wake: "active",
    kick: "active",
    pause: "paused",
    cancel: "cancelled",
  },
  paused: {
    // The step that was under way when it was paused; it stays paused, where that step leads on.
    advance: "paused",
    rest: "paused",
    // There was nothing left to pause.
    finish: "done",
    fail: "failed",
    // An owner that is still at its step goes on: there is never a second one.
    resume: "active",
    cancel: "cancelled",
  },
  failed: {
    // With all attempts, from where it stopped.
    resume: "active",
    cancel: "cancelled",
  },
  done: {},
  cancelled: {},
} as const satisfies Record<LoopStatus, Partial<Record<LoopEvent, LoopStatus>>>;

/** The state after `event`, or `null` when the event may not happen in `status`. */
export function loopTransition(status: LoopStatus, event: LoopEvent): LoopStatus | null {
  const edges: Partial<Record<LoopEvent, LoopStatus>> = LOOP_TRANSITIONS[status];
  return edges[event] ?? null;
}

/** True when nothing will ever happen to the loop again by itself. */
export function hasEnded(status: LoopStatus): boolean {
  return status === "done" || status === "cancelled" || status === "failed";
}
