/**
 * What becomes of a batch after its handler ended: which items are done, which go on, and which are
 * dead. The runtime asks with what the handler said; a storage carries the answer out under the
 * batch's token.
 */
import { halves } from "./bisect.ts";
import { storedError, type StoredError } from "./errors.ts";
import type { WithResults } from "./results.ts";
import { maxAttempts, retryDelayMs, type RetryPolicy } from "./retry.ts";

/** What a handler's end means for the batch. */
export type Outcome = Done | Again | Split;

/** Every item succeeded. */
export interface Done extends WithResults {
  readonly kind: "done";
  /** True where its items are to be kept with it, to be replayed. */
  readonly keep?: boolean;
}

/** The same batch (same id, order and content) runs again. */
export interface Again {
  readonly kind: "again";
  readonly attempt: number;
  readonly delayMs: number;
  readonly error: StoredError;
}

/** Some items go on in new batches, some are dead, the rest are done. */
export interface Split extends WithResults {
  readonly kind: "split";
  readonly children: readonly Child[];
  readonly dead: readonly Dead[];
  readonly error: StoredError;
}

/** A new batch made of some items of an old one. Another membership is another id. */
export interface Child {
  /** Positions in the parent, ascending. */
  readonly positions: readonly number[];
  readonly attempt: number;
  readonly delayMs: number;
  /** What the items failed with last. */
  readonly error: StoredError;
}

/** An item that is out of attempts. */
export interface Dead {
  readonly position: number;
  readonly error: StoredError;
}

/** What the handler said, and what it was given. */
export interface Verdict {
  /** Items in the batch. */
  readonly count: number;
  /** Which attempt this was; the first is 1. */
  readonly attempt: number;
  /** `ctx.fail(index, error)`, by position. */
  readonly failed: ReadonlyMap<number, unknown>;
  /** What the handler threw, if it threw. */
  readonly thrown?: { readonly error: unknown };
}

/** What a queue does with failures. */
export interface FailurePolicy {
  readonly retries: RetryPolicy;
  readonly onFailure: "retry" | "bisect";
}

/** What becomes of the batch. `random` is in [0, 1) and feeds the jitter of the delay. */
export function settle(verdict: Verdict, policy: FailurePolicy, random: number): Outcome {
  const { count, failed, thrown } = verdict;
  if (thrown === undefined) {
    return failed.size === 0 ? { kind: "done" } : afterFailure(verdict, policy, random);
  }
  const bisecting = policy.onFailure === "bisect" && count > 1 && failed.size < count;
  return bisecting
    ? afterBisect(verdict, thrown.error, policy, random)
    : afterFailure(withEveryItemFailed(verdict, thrown.error), policy, random);
}

/** A throw fails every item that the handler gave no verdict. */
function withEveryItemFailed(verdict: Verdict, error: unknown): Verdict {
  const failed = new Map<number, unknown>();
  for (let position = 0; position < verdict.count; position++) {
    failed.set(position, verdict.failed.has(position) ? verdict.failed.get(position) : error);
  }
  return { ...verdict, failed };
}

/** Failed items go on as one batch while they have attempts left; then each is dead by itself. */
function afterFailure(verdict: Verdict, policy: FailurePolicy, random: number): Outcome {
  const { count, attempt, failed } = verdict;
  const positions = [...failed.keys()].toSorted((a, b) => a - b);
  const error = storedError(verdict.thrown?.error ?? failed.get(positions[0] as number));
  if (attempt >= maxAttempts(policy.retries)) {
    const dead = positions.map((position) => ({
      position,
      error: storedError(failed.get(position)),
    }));
    return { kind: "split", children: [], dead, error };
  }
  const delayMs = retryDelayMs(policy.retries, attempt, random);
  if (failed.size === count) return { kind: "again", attempt: attempt + 1, delayMs, error };
  const child = { positions, attempt: attempt + 1, delayMs, error };
  return { kind: "split", children: [child], dead: [], error };
}

/**
 * The batch threw. Without a named item it is cut in two, at once and without using up attempts.
 * Where items were named, those are the bad ones: they use up an attempt, and the others go on at
 * once.
 */
function afterBisect(
  verdict: Verdict,
  thrown: unknown,
  policy: FailurePolicy,
  random: number,
): Outcome {
  const { count, attempt, failed } = verdict;
  const error = storedError(thrown);
  if (failed.size === 0) {
    const children = halves(count).map((positions) => ({ positions, attempt, delayMs: 0, error }));
    return { kind: "split", children, dead: [], error };
  }
  const named = afterFailure({ count, attempt, failed }, policy, random) as Split;
  const positions: number[] = [];
  for (let position = 0; position < count; position++) {
    if (!failed.has(position)) positions.push(position);
  }
  const others = { positions, attempt, delayMs: 0, error };
  return { ...named, children: [others, ...named.children], error };
}
