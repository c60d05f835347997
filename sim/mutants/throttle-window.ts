/** A throttle that is kept above the storage, so that a mutant may count wrongly. */
import type {
  ClaimedBatch,
  Exchange,
  QueueClaim,
  Storage,
} from "../../packages/batchwork/src/storage/storage.ts";
import { decorate } from "./decorate.ts";

/** Deliveries by queue. */
export type Windows = Map<number, number[]>;

/** `inner`, whose throttles count what is in `windows`: of each claim, what `counts` says. */
export function withWindow(
  inner: Storage,
  windows: Windows,
  counts: (batch: ClaimedBatch) => boolean,
): Storage {
  let now = 0;
  const cut = (claim: QueueClaim): QueueClaim => {
    const { throttle, ...rest } = claim;
    if (throttle === undefined) return claim;
    const inSpan = (windows.get(claim.queue) ?? []).filter((at) => at > now - throttle.durationMs);
    return { ...rest, limit: Math.min(claim.limit, Math.max(0, throttle.max - inSpan.length)) };
  };
  return decorate(inner, {
    exchange: async (request: Exchange) => {
      const exchanged = await inner.exchange({ ...request, claims: request.claims.map(cut) });
      ({ now } = exchanged);
      for (const batch of exchanged.claimed.filter(counts)) {
        const delivered = windows.get(batch.queue) ?? [];
        delivered.push(now);
        windows.set(batch.queue, delivered);
      }
      return { ...exchanged, nextAt: now + 1 };
    },
  });
}
