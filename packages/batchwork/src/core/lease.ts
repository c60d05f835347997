/** Leases, fencing tokens, and what the death of an owner means for a batch. */

/** Proof that a process owns a batch: the batch and the token it was claimed with. */
export interface Lease {
  readonly batch: number;
  /** Strictly increasing per batch, never reused. Every write the owner makes carries it. */
  readonly token: number;
}

/** The token of the next claim. */
export function nextToken(token: number): number {
  return token + 1;
}

/** True when an incarnation that was last renewed to `expiresAt` may be declared dead. */
export function hasExpired(expiresAt: number, now: number): boolean {
  return now >= expiresAt;
}

/** What is known of a batch's history of crashes. */
export interface CrashRecord {
  /** The owner died while it ran this batch: from now on it runs alone in its process. */
  readonly suspect: boolean;
  /** Deaths of the owner while it ran this batch alone. */
  readonly crashes: number;
}

/**
 * The record after the owner died. Only a crash while alone counts, because then nothing else can
 * have caused it; attempts are not touched, because a crash is not a failure of the items.
 */
export function afterCrash(record: CrashRecord, ranAlone: boolean): CrashRecord {
  return { suspect: true, crashes: record.crashes + (ranAlone ? 1 : 0) };
}

/**
 * The record after the owner turned out to be alive: it was only slow, so nothing counts. What ran
 * alone had been a suspect before, and still is.
 */
export function afterRevival(record: CrashRecord, ranAlone: boolean): CrashRecord {
  const crashes = Math.max(0, record.crashes - (ranAlone ? 1 : 0));
  return { suspect: ranAlone || crashes > 0, crashes };
}

/** True when a batch has killed its process often enough to be dead itself. */
export function isDeadly(record: CrashRecord, maxCrashes: number): boolean {
  return record.crashes >= maxCrashes;
}
