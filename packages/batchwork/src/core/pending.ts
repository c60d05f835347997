/** Back-pressure: how much of a queue may be accepted and unfinished at a time. */
import { BatchworkError } from "./errors.ts";

/** So many items, with so many bytes. */
export interface Amount {
  readonly items: number;
  readonly bytes: number;
}

/** The most that may be pending: accepted, and neither done nor dead. `Infinity` for no limit. */
export type PendingLimit = Amount;

/** What is left of the limit; never less than nothing. */
export function roomWithin(limit: PendingLimit, pending: Amount): Amount {
  return {
    items: Math.max(0, limit.items - pending.items),
    bytes: Math.max(0, limit.bytes - pending.bytes),
  };
}

export function fitsInto(room: Amount, need: Amount): boolean {
  return need.items <= room.items && need.bytes <= room.bytes;
}

export function plus(a: Amount, b: Amount): Amount {
  return { items: a.items + b.items, bytes: a.bytes + b.bytes };
}

export function minus(a: Amount, b: Amount): Amount {
  return { items: a.items - b.items, bytes: a.bytes - b.bytes };
}

export const NOTHING: Amount = Object.freeze({ items: 0, bytes: 0 });

/** `QUEUE_FULL`: what was to be added does not fit beside what is pending. Nothing was stored. */
export class QueueFullError extends BatchworkError {
  /** What may be pending at a time. */
  readonly limit: PendingLimit;
  /** How much there was room for. */
  readonly room: Amount;
  /** How much was to be added. */
  readonly need: Amount;

  // oxlint-disable-next-line unicorn/custom-error-definition -- a BatchworkError that says more
  constructor(limit: PendingLimit, room: Amount, need: Amount) {
    const what = need.items > room.items ? "items" : "bytes";
    const message =
      `maxPending allows ${limit[what]} ${what} that wait or run; there is room for ` +
      `${room[what]} more, not for ${need[what]}, and nothing was stored. Add again when some ` +
      `are done, use policy "wait", or raise maxPending.${what}.`;
    super("QUEUE_FULL", message, { field: `maxPending.${what}`, value: need[what] });
    this.limit = limit;
    this.room = room;
    this.need = need;
  }
}

/** Refuses what could never be stored, however long one waits. Throws `CALL_TOO_LARGE`. */
export function checkFits(limit: PendingLimit, need: Amount): void {
  if (!fitsInto(limit, need)) throw neverFits(limit, need);
}

/** What a call is refused with; since it was taken in, the limit may have become too low for it. */
export function refusalOf(limit: PendingLimit, room: Amount, need: Amount): BatchworkError {
  return fitsInto(limit, need) ? new QueueFullError(limit, room, need) : neverFits(limit, need);
}

function neverFits(limit: PendingLimit, need: Amount): BatchworkError {
  const what = need.items > limit.items ? "items" : "bytes";
  const message =
    `One call of ${need[what]} ${what} never fits into maxPending.${what} (${limit[what]}): ` +
    "split it, or raise the limit.";
  return new BatchworkError("CALL_TOO_LARGE", message, { field: what, value: need[what] });
}
