/** The ledger's account of limits on what is pending. */
import type { NewChunk } from "../../packages/batchwork/src/storage/storage.ts";
import type { Ledger } from "./ledger.ts";

/** Items of a queue that are neither done nor dead. */
function pendingOf(ledger: Ledger, queue: number): number {
  let count = 0;
  for (const { waiting } of ledger.queue(queue).groups.values()) count += waiting.length;
  for (const batch of ledger.live) if (batch.queue === queue) count += batch.items.length;
  return count;
}

/** Checks the limits of what was appended, once it is noted. */
export function checkPending(ledger: Ledger, chunks: readonly NewChunk[]): void {
  for (const { queue, limit } of chunks) {
    if (limit === undefined) continue;
    const pending = pendingOf(ledger, queue);
    if (pending <= limit.items) continue;
    const detail = `${pending} items of queue ${ledger.queue(queue).name}, ${limit.items} may be`;
    ledger.fail("maxPending: never more", detail);
  }
}
