/** The queues of an instance, one per pool and priority, and which of them are closed. */
import type { Doc, Id } from "./_generated/dataModel.js";
import { permitAt, permitsOf } from "./throttle.js";
import type { Queue, Throttle } from "./validators.js";

export type Cursor = Queue & { ts: bigint };

export interface Queues {
  readonly open: Cursor[];
  /** Paused, or at the limit of their throttle: nothing of them is looked at. */
  readonly closed: Cursor[];
}

export function throttleOf(gate: Doc<"gate">, pool: string): Throttle | undefined {
  const known = gate.pools?.find((one) => one.pool === pool);
  return known?.override.throttle ?? known?.declared.throttle;
}

export function isPaused(gate: Doc<"gate">, pool: string): boolean {
  return gate.paused === true || gate.pools?.find((one) => one.pool === pool)?.paused === true;
}

/** Until when a pool is closed, ms since the epoch: `Infinity` while it is paused; else `null`. */
export function closingOf(
  gate: Doc<"gate">,
  { starts = [] }: Doc<"loop">,
  pool: string,
  now: number,
): number | null {
  if (isPaused(gate, pool)) return Number.POSITIVE_INFINITY;
  const throttle = throttleOf(gate, pool);
  if (throttle === undefined || permitsOf(throttle, pool, starts, now) > 0) return null;
  return permitAt(throttle, pool, starts, now);
}

/** Items that may begin now, for each pool that is throttled. */
export function permitsFor(gate: Doc<"gate">, { starts = [] }: Doc<"loop">): Map<string, number> {
  const permits = new Map<string, number>();
  for (const { pool } of gate.pools ?? []) {
    const throttle = throttleOf(gate, pool);
    if (throttle !== undefined) permits.set(pool, permitsOf(throttle, pool, starts, Date.now()));
  }
  return permits;
}

/** The throttles of an instance, by their pools. */
export function throttlesOf(gate: Doc<"gate">): Map<string, Throttle> {
  const throttles = new Map<string, Throttle>();
  for (const { pool } of gate.pools ?? []) {
    const throttle = throttleOf(gate, pool);
    if (throttle !== undefined) throttles.set(pool, throttle);
  }
  return throttles;
}

export function queuesOf(gate: Doc<"gate">, loop: Doc<"loop">): Queues {
  const open: Cursor[] = [];
  const closed: Cursor[] = [];
  const now = Date.now();
  for (const { pool, priority } of gate.queues) {
    const known = loop.cursors.find((one) => one.pool === pool && one.priority === priority);
    const cursor = known ?? { pool, priority, ts: 0n };
    (closingOf(gate, loop, pool, now) === null ? open : closed).push(cursor);
  }
  return { open, closed };
}

/** Each cursor up to its first row that is left, or to its last row that was taken. */
export function advance(
  { open, closed }: Queues,
  heads: readonly { work: Id<"work">; pool: string; priority: number; inbox?: bigint }[],
  left: ReadonlySet<Id<"work">>,
): Cursor[] {
  const moved = open.map((cursor) => {
    let { ts } = cursor;
    for (const head of heads) {
      if (head.pool !== cursor.pool || head.priority !== cursor.priority) continue;
      if (head.inbox === undefined) continue;
      ts = head.inbox;
      if (left.has(head.work)) break;
    }
    return { ...cursor, ts };
  });
  return [...moved, ...closed];
}
