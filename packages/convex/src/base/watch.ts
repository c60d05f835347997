/**
 * Crash detection. Whatever runs outside of a transaction (an action) has a watch: a scheduled
 * look at the state of the scheduled function. The watch is cancelled when the run settles, so a
 * run that goes well costs none.
 */

/** What the scheduler says about a run that has not settled yet. */
export type RunFate =
  /** It waits or runs: look again. */
  | "alive"
  /** It ended, by whatever way, and its work is not settled. */
  | "over";

/** First looks come soon, so that a run that died early is replaced early. */
const FIRST_LOOKS_MS = [2000, 5000];

/** Later looks, ms. Each costs one function call, and only a long run gets there. */
const LATER_LOOK_MS = 10_000;

/** Delay in ms before look number `look`, counted from 0. */
export function watchDelayMs(look: number): number {
  return FIRST_LOOKS_MS[look] ?? LATER_LOOK_MS;
}

/** A scheduled function as `ctx.db.system.get` returns it, as far as a watch reads it. */
interface Scheduled {
  readonly state: { readonly kind: string };
}

/**
 * Whether the run can still settle. A row that is missing was removed after the scheduler's
 * retention, or never committed. Success without a settlement is an end like any other.
 */
export function fateOf(scheduled: Scheduled | null): RunFate {
  const kind = scheduled?.state.kind;
  return kind === "pending" || kind === "inProgress" ? "alive" : "over";
}
