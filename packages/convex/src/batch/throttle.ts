/** How often a group is flushed: a sliding window over when its flushes began. */

interface Throttle {
  readonly max: number;
  readonly duration: number;
}

/** When the next flush may begin, ms since the epoch; `null` for now. */
export function throttledUntil(
  throttle: Throttle | undefined,
  deliveries: readonly number[] | undefined,
  now: number,
): number | null {
  const first = throttle === undefined ? undefined : deliveries?.at(-throttle.max);
  if (throttle === undefined || first === undefined) return null;
  const until = first + throttle.duration;
  return until > now ? until : null;
}

/** What is kept once another flush begins; `undefined` where nothing is throttled. */
export function counted(
  throttle: Throttle | undefined,
  deliveries: readonly number[] | undefined,
  now: number,
): number[] | undefined {
  return throttle === undefined ? undefined : [...(deliveries ?? []), now].slice(-throttle.max);
}
