/** How the room of an instance is given back to pools that have less than their share. Pure. */
import type { Lane } from "./plan.js";

/** A lane, by its index, and how many slots it is to keep. */
export interface Share {
  readonly lane: number;
  readonly slots: number;
}

interface Given {
  /** Slots of each pool. */
  readonly used: ReadonlyMap<string, number>;
  /** What each pool may claim. */
  readonly share: number;
  /** Pools with work and no room for it. */
  readonly starved: ReadonlySet<string>;
  /** Slots beyond what is allowed in all. */
  readonly excess: number;
}

/**
 * Which lanes give up slots, the largest first, so that starved pools get their share. A lane keeps
 * one, for what it has in stock. Mutations are no matter: each is over soon.
 */
export function sharesOf(lanes: readonly Lane[], given: Given): Share[] {
  const { used, share, starved, excess } = given;
  let wanted = excess;
  for (const pool of starved) wanted += Math.max(0, share - (used.get(pool) ?? 0));
  const over = new Map([...used].map(([pool, slots]) => [pool, slots - share]));
  const shares: Share[] = [];
  const largest = lanes
    .map((lane, index) => ({ ...lane, index }))
    .filter(({ kind }) => kind !== "mutation")
    .toSorted((a, b) => b.slots - a.slots);
  for (const { pool, slots, index } of largest) {
    const most = Math.min(wanted, over.get(pool) ?? 0, slots - 1);
    if (most <= 0) continue;
    shares.push({ lane: index, slots: slots - most });
    wanted -= most;
    over.set(pool, (over.get(pool) ?? 0) - most);
  }
  return shares;
}
