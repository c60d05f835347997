/** How large a batch may be so that its handler takes about as long as it was meant to. */

/** What a definition asks for. */
export interface SizeTarget {
  /** A handler should take no longer, ms. */
  readonly durationMs: number;
  readonly minSize: number;
  readonly maxSize: number;
}

/** How one delivery went. */
export interface MeasuredDelivery {
  /** Items that the handler was given. */
  readonly count: number;
  readonly durationMs: number;
  /** False when it failed: one that fails early says nothing about how long the work takes. */
  readonly succeeded: boolean;
  readonly timedOut: boolean;
}

/**
 * A full batch makes the next ones this much larger, at most: whatever the handler calls is to see
 * the load rise slowly enough to be noticed before it is too much.
 */
export const GROWTH_MAX = 0.1;

/**
 * A batch that took too long leaves this share of the size, at once: whatever the handler calls is
 * in trouble already, and growing again costs little.
 */
export const SHRINK = 0.5;

/**
 * The size after a delivery. Grows after a full batch that left time, never past what would just
 * take `durationMs` at the pace measured; halves after one that took too long or timed out.
 */
export function adaptedSize(size: number, target: SizeTarget, delivery: MeasuredDelivery): number {
  const { durationMs, minSize, maxSize } = target;
  const { count } = delivery;
  if (delivery.timedOut || delivery.durationMs > durationMs) {
    // Several that began at one size and all took too long halve it once, not once each.
    const half = Math.floor(Math.max(size, count) * SHRINK);
    return Math.max(minSize, Math.min(size, half));
  }
  if (!delivery.succeeded || count < askedSize(size, target)) return size;
  const larger = Math.max(size + 1, Math.floor(size * (1 + GROWTH_MAX)));
  const affordable = Math.floor((count * durationMs) / Math.max(delivery.durationMs, 1));
  return Math.max(size, Math.min(larger, affordable, maxSize));
}

/**
 * The size that claims ask for: the next lower of 1, 2, 3, 4, 6, 8, 12, 16, … A storage works out
 * anew when groups are full whenever that changes, so it changes seldom, and processes that measure
 * about the same ask for the same.
 */
export function askedSize(size: number, { minSize, maxSize }: SizeTarget): number {
  if (size >= maxSize) return maxSize;
  const power = 2 ** Math.floor(Math.log2(size));
  const step = size >= power * 1.5 ? power * 1.5 : power;
  // 1.5 is no size.
  return Math.max(minSize, Math.floor(step));
}
