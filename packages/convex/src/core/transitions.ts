// Copied from packages/batchwork/src/core by codegen/core.ts. Edit it there.
/** The states of a batch and every edge between them. Storages check each write against it. */

/**
 * - `ready`: sealed, waits for its (next) attempt.
 * - `leased`: one process runs it, under a token.
 * - `done`: nothing of it is left to do here. Its items succeeded, went on in other batches, or are
 *   dead; never left again.
 */
export type BatchState = "ready" | "leased" | "done";

/** What can happen to a batch. */
export type BatchEvent =
  /** The claim that will run the items fixed the membership. There is no batch before that. */
  | "seal"
  | "claim"
  /** Every item succeeded, or every item that did not went on elsewhere. */
  | "finish"
  /** The same content is tried again later. */
  | "retry"
  /** The owner gives it back unfinished: `stop()`, or a lease that nobody runs. */
  | "release"
  /** The owner was declared dead. */
  | "crash";

/** Where each event leads, from each state in which it may happen. */
export const TRANSITIONS = {
  ready: {
    // A process with a free slot takes it; the token grows.
    claim: "leased",
    // The last crash was one too many: its items are dead letters.
    finish: "done",
  },
  leased: {
    // The handler ended, or `ctx.tx` committed. Also a split: the children are new batches.
    finish: "done",
    // The handler failed as a whole and attempts are left: same id, same content.
    retry: "ready",
    // Nothing counts: not an attempt, not a crash.
    release: "ready",
    // A crash is not an attempt; the batch is a suspect from here on.
    crash: "ready",
  },
  done: {},
} as const satisfies Record<BatchState, Partial<Record<BatchEvent, BatchState>>>;

/** The state after `event`, or `null` when the event may not happen in `state`. */
export function transition(state: BatchState | null, event: BatchEvent): BatchState | null {
  // Sealed by the claim that runs it, so there is no state in between.
  if (state === null) return event === "seal" ? "leased" : null;
  const edges: Partial<Record<BatchEvent, BatchState>> = TRANSITIONS[state];
  return edges[event] ?? null;
}
