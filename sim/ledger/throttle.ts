/** The ledger's account of throttles: which deliveries fall into the span that ends now. */
import type { QueueClaim } from "../../packages/batchwork/src/storage/storage.ts";
import type { Ledger } from "./ledger.ts";
import type { QueueRecord } from "./records.ts";

/** Notes one delivery. */
export function noteDelivered(
  ledger: Ledger,
  queue: QueueRecord,
  { throttle }: QueueClaim,
  now: number,
): void {
  if (throttle === undefined) return;
  const { max, durationMs } = throttle;
  queue.delivered = queue.delivered.filter((at) => at > now - durationMs);
  queue.delivered.push(now);
  const count = queue.delivered.length;
  if (count <= max) return;
  const detail = `queue ${queue.name}: ${count} deliveries in ${durationMs} ms, ${max} may be`;
  ledger.fail("throttle: no more in any span", detail);
}

/** When the queue may deliver again; `-Infinity` when it may now. */
export function throttledUntil(queue: QueueRecord, { throttle }: QueueClaim, now: number): number {
  if (throttle === undefined) return Number.NEGATIVE_INFINITY;
  const { max, durationMs } = throttle;
  const inSpan = queue.delivered.filter((at) => at > now - durationMs);
  const first = inSpan.at(-max);
  return first === undefined ? Number.NEGATIVE_INFINITY : first + durationMs;
}
