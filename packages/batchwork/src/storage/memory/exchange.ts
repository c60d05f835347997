/** Settles what ended, claims what is due, and says when to look again. */
import type { ClaimedBatch, Exchange, Exchanged } from "../storage.ts";
import { claimBatch, claimQueue, dueSuspect } from "./claim.ts";
import type { MemoryData } from "./data.ts";
import type { Queue } from "./queue.ts";
import { settleBatch } from "./settle.ts";

/** One transaction. */
export function exchange(data: MemoryData, request: Exchange, now: number): Exchanged {
  const { incarnation, settlements, claims } = request;
  if (!data.incarnations.has(incarnation)) {
    const settled = settlements.map(() => "lost" as const);
    return {
      settled,
      claimed: [],
      nextAt: null,
      more: false,
      suspectWaiting: false,
      now,
    };
  }
  const queues: Queue[] = [];
  for (const claim of claims) {
    const queue = data.queue(claim.queue);
    queue.limit(claim, now);
    queues.push(queue);
  }
  const settled = settlements.map((settlement) =>
    settleBatch(data, settlement, settlement.outcome, now) ? "settled" : "lost",
  );
  const claimed: ClaimedBatch[] = [];
  let more = false;
  const suspect = request.alone ? claimSuspect(data, request, now) : null;
  if (suspect !== null) claimed.push(suspect);
  for (const claim of claims) {
    const queue = data.queue(claim.queue);
    if (queue.paused || suspect !== null) continue;
    const free = claimQueue(data, claim, incarnation, now, claimed);
    more ||= free === 0 && queue.room(now) > 0 && isClaimable(queue, now);
  }
  const suspectWaiting = dueSuspect(queues, now) !== null;
  return {
    settled,
    claimed,
    nextAt: lookAgainAt(queues, now),
    more,
    suspectWaiting,
    now,
  };
}

function claimSuspect(data: MemoryData, request: Exchange, now: number): ClaimedBatch | null {
  const open: Queue[] = [];
  for (const { queue, limit } of request.claims) if (limit > 0) open.push(data.queue(queue));
  const batch = dueSuspect(open, now);
  return batch === null ? null : claimBatch(batch, request.incarnation, now);
}

function isClaimable({ seals, retries }: Queue, now: number): boolean {
  return (retries.peek()?.at ?? Infinity) <= now || (seals.peek()?.at ?? Infinity) <= now;
}

/**
 * The first moment after `now` at which a group or a suspect may become claimable. What is
 * claimable already and was not claimed is beyond a limit: its process looks again when a place
 * becomes free.
 */
function lookAgainAt(queues: readonly Queue[], now: number): number | null {
  let next = Number.POSITIVE_INFINITY;
  for (const queue of queues) {
    if (queue.paused) continue;
    const { seals, retries, suspects } = queue;
    // Until then nothing of it is claimable, whatever is due.
    const from = queue.throttledUntil(now) ?? Number.NEGATIVE_INFINITY;
    const heads = [seals.peek(), retries.peek(), ...suspects];
    for (const head of heads) {
      const at = Math.max(head?.at ?? now, from);
      if (head !== undefined && at > now) next = Math.min(next, at);
    }
  }
  return next === Number.POSITIVE_INFINITY ? null : next;
}
