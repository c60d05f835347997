/** Throttled pools: how many items may begin, by a sliding window over those that did. Pure. */
import { THROTTLE_STEPS } from "./limits.js";
import type { Throttle } from "./validators.js";

/** When items of a pool were assigned, and how many. */
export interface Start {
  readonly pool: string;
  readonly at: number;
  readonly count: number;
}

/** How many more items of the pool may begin at `now`. */
export function permitsOf(
  { max, duration }: Throttle,
  pool: string,
  starts: readonly Start[],
  now: number,
): number {
  const begun = starts.filter((one) => one.pool === pool && isWithin(one, duration, now));
  return Math.max(0, max - begun.reduce((sum, { count }) => sum + count, 0));
}

/** When the next one may begin, given that none may at `now`. */
export function permitAt(
  { duration }: Throttle,
  pool: string,
  starts: readonly Start[],
  now: number,
): number {
  const begun = starts.filter((one) => one.pool === pool && isWithin(one, duration, now));
  return Math.min(...begun.map(({ at }) => at + duration));
}

/** The clock may have been set back: what began in the future is over when it would have been. */
function isWithin({ at }: Start, duration: number, now: number): boolean {
  return at > now - duration && at <= now + duration;
}

/**
 * The window once `count` items began at `now`. Starts that are near each other become one, as of
 * the later: so the window never allows too many, and its length is limited.
 */
export function withStarts(
  throttles: ReadonlyMap<string, Throttle>,
  starts: readonly Start[],
  begun: ReadonlyMap<string, number>,
  now: number,
): Start[] {
  const kept: Start[] = [];
  for (const one of starts) {
    const throttle = throttles.get(one.pool);
    if (throttle !== undefined && isWithin(one, throttle.duration, now)) kept.push(one);
  }
  for (const [pool, count] of begun) {
    const throttle = throttles.get(pool);
    if (throttle === undefined || count === 0) continue;
    const step = throttle.duration / THROTTLE_STEPS;
    const before = kept.findLastIndex((one) => one.pool === pool);
    const near = kept[before];
    // Grown from its first start, a step would never end: it is counted from whole multiples.
    const isNear = near !== undefined && Math.floor(near.at / step) === Math.floor(now / step);
    if (isNear) kept[before] = { pool, at: now, count: near.count + count };
    else kept.push({ pool, at: now, count });
  }
  return kept;
}
