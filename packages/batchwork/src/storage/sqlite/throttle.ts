/** How often a queue may hand batches over, and how often it did. */
import { roomFor, windowStart, type Throttle } from "../../core/throttle.ts";
import type { Statements } from "./prepared.ts";
import type { Transaction } from "./transaction.ts";

/** Rows that a claim clears up at most; it leaves one. */
const FORGOTTEN_MAX = 10;

/** What is left of the window of one queue. */
export interface Room {
  readonly left: number;
  /** When something will be left; `null` when something is. */
  readonly freesAt: number | null;
}

const NO_LIMIT: Room = { left: Number.POSITIVE_INFINITY, freesAt: null };

export function roomOf(
  sql: Statements,
  queue: number,
  throttle: Throttle | undefined,
  now: number,
): Room {
  if (throttle === undefined) return NO_LIMIT;
  const start = windowStart(throttle, now);
  const first = sql.firstDelivery.get(queue, start) as
    { readonly at: number; readonly earlier: number } | undefined;
  const delivered = first === undefined ? 0 : deliveredSoFar(sql, queue) - first.earlier;
  const left = roomFor(throttle, delivered);
  return { left, freesAt: left > 0 ? null : (first?.at ?? now) + throttle.durationMs };
}

/** Notes that so many were handed over now. */
export function noteDeliveries(
  { sql, now }: Transaction,
  queue: number,
  throttle: Throttle | undefined,
  count: number,
): void {
  if (throttle === undefined || count === 0) return;
  sql.noteDeliveries.run(queue, now, deliveredSoFar(sql, queue), count);
  const until = windowStart(throttle, now);
  sql.forgetDeliveries.run({ queue, until, most: FORGOTTEN_MAX });
}

function deliveredSoFar(sql: Statements, queue: number): number {
  const row = sql.deliveredSoFar.get(queue) as { readonly n: number } | undefined;
  return row?.n ?? 0;
}
