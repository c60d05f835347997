/** What a step, or an event, makes of the row of a loop. */
import { loopTransition, type LoopControl, type LoopStatus } from "./loop-transitions.ts";

/** What becomes of the loop after a step. */
export type LoopMove =
  /** Due in `runInMs`. With `keep` the owner goes on owning it, and waits by itself. */
  | { readonly to: "active"; readonly runInMs: number; readonly keep: boolean }
  /** Not before a ping, or before `wakeInMs` have passed. */
  | { readonly to: "idle"; readonly wakeInMs: number | null }
  | { readonly to: "done" }
  /** Until somebody resumes it. */
  | { readonly to: "failed" };

/** The part of a row that decides when and by whom a loop is run. */
export interface LoopPlace {
  readonly status: LoopStatus;
  /** When it is due, storage time; `null` for not by itself. */
  readonly runAt: number | null;
  /** True while it has an owner. */
  readonly owned: boolean;
  /** Somebody asked an owned loop to run again at once. */
  readonly kicked: boolean;
}

const EVENTS = { active: "advance", idle: "rest", done: "finish", failed: "fail" } as const;

/**
 * Where a step of its owner takes a loop. `pinged`: somebody pinged it since the look that found
 * nothing began.
 */
export function placeAfterStep(
  { status: before, runAt, kicked }: LoopPlace,
  move: LoopMove,
  now: number,
  pinged = false,
): LoopPlace {
  const status = loopTransition(before, EVENTS[move.to]) ?? before;
  if (status === "active" && move.to === "active") {
    const { keep } = move;
    const soon = kicked || move.runInMs === 0;
    // A loop that goes on at once has been due all the time: its row changes as little as can be.
    const at = soon ? Math.min(runAt ?? now, now) : now + move.runInMs;
    return { status, runAt: at, owned: keep, kicked: false };
  }
  if (status === "idle" && move.to === "idle") {
    // The time it would have been idle for is over already.
    if (kicked || pinged) return { status: "active", runAt: now, owned: false, kicked: false };
    const runAt = move.wakeInMs === null ? null : now + move.wakeInMs;
    return { status, runAt, owned: false, kicked: false };
  }
  return { status, runAt: null, owned: false, kicked: false };
}

/** Where an event that a user asked for takes a loop; `null` when it has no such edge. */
export function placeAfterControl(
  place: LoopPlace,
  event: LoopControl,
  now: number,
): LoopPlace | null {
  const status = loopTransition(place.status, event);
  if (status === null) return null;
  if (event === "cancel") return { status, runAt: null, owned: false, kicked: false };
  if (event === "pause") return { ...place, status, runAt: null, kicked: false };
  // The owner of a loop that is resumed in mid-step goes on after the step as it would have.
  const kicked = event === "kick" && place.owned;
  return { ...place, status, runAt: now, kicked: kicked || place.kicked };
}
