/** From how an attempt ended to what is settled. */
import type { Outcome, Result, RetryBehavior, Taken } from "./validators.js";

type Item = Taken["items"][number];

/** The final outcome: with its callback, unless this kind of end was excluded. */
export function outcomeOf(taken: Taken, item: Item, result: Result): Outcome {
  const { work, onComplete, keepMs, deadMs, isolate } = taken;
  const isWanted = onComplete !== undefined && onComplete.exclude?.includes(result.kind) !== true;
  const { context } = item;
  const more = {
    ...(context === undefined ? {} : { context }),
    ...(isolate === true ? { isolate } : {}),
    ...(onComplete?.array === true ? { array: true } : {}),
  };
  return {
    work,
    place: item.place,
    result,
    ...(keepMs === undefined ? {} : { keepMs }),
    ...(deadMs === undefined ? {} : { deadMs }),
    ...(isWanted ? { callback: { handle: onComplete.handle, ...more } } : {}),
  };
}

/**
 * When to try again, ms since the epoch; `null` when attempts are used up. The delay grows by
 * `base` per attempt and is spread between half and one and a half of itself. `random` is in
 * [0, 1).
 */
export function retryAt(
  retry: RetryBehavior | undefined,
  attempts: number,
  now: number,
  random: number,
): number | null {
  if (retry === undefined || attempts + 1 >= retry.maxAttempts) return null;
  const delay = retry.initialBackoffMs * retry.base ** attempts;
  return now + Math.round(delay * (0.5 + random));
}
