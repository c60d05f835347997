/** How full a definition with `maxPending` is, and who waits for room in it. */
import { fitsInto, type Amount, type PendingLimit } from "../core/pending.ts";
import type { PendingPolicy } from "../core/pending-option.ts";
import type { Queue } from "./queue.ts";
import type { Runner } from "./runner.ts";

/** What `explain` says of `maxPending`. */
export interface PendingState {
  /** Items, or tasks, that are pending, over all processes: accepted, and neither done nor dead. */
  readonly items: number;
  /** Bytes of them. */
  readonly bytes: number;
  /** What may be pending; `Infinity` for no limit. */
  readonly limit: PendingLimit;
  readonly policy: PendingPolicy;
  /** True when there is no room for anything, or somebody waits for more room than there is. */
  readonly full: boolean;
  /** Calls of this process that wait: for room, or behind one that does. */
  readonly waitingHere: number;
}

/** The least that anything needs. */
const LEAST: Amount = { items: 1, bytes: 1 };

/** Asks the storage and this process; `null` without `maxPending`. `scope`: that of its calls. */
export async function pendingState(
  { storage, intake }: Runner,
  { id, maxPending }: Queue,
  scope: object,
): Promise<PendingState | null> {
  if (maxPending === undefined) return null;
  const { policy, ...limit } = maxPending;
  const { items, bytes } = await storage.pending(id);
  const waitingHere = intake.limited.waiting(scope) + intake.keyed.waiting(scope);
  const room = { items: limit.items - items, bytes: limit.bytes - bytes };
  const full = waitingHere > 0 || !fitsInto(room, LEAST);
  return { items, bytes, limit, policy, full, waitingHere };
}

/** A sentence about a queue that is full, with a space before it; else nothing. */
export function fullText(state: PendingState | null, noun: "items" | "tasks"): string {
  if (state?.full !== true) return "";
  const { items, bytes, limit, policy, waitingHere } = state;
  const parts: string[] = [];
  if (Number.isFinite(limit.items)) parts.push(`${items} of ${limit.items} ${noun}`);
  if (Number.isFinite(limit.bytes)) parts.push(`${bytes} of ${limit.bytes} bytes`);
  const calls = waitingHere === 1 ? "1 call" : `${waitingHere} calls`;
  const more = policy === "wait" ? `waits for room: ${calls} of this process` : "is rejected";
  return ` It is full (maxPending): ${parts.join(" and ")} are pending, and what is added ${more}.`;
}
