/** Settles what ended, claims what is due, and says when to look again. */
import type { ClaimedBatch, Exchange, Exchanged, QueueClaim } from "../storage.ts";
import type { BatchRow } from "./batches.ts";
import { QueueClaimer } from "./claim.ts";
import { capsOf } from "./queues.ts";
import { settleAll } from "./settle.ts";
import type { Transaction } from "./transaction.ts";

interface QueueTurn {
  readonly claim: QueueClaim;
  readonly claimer: QueueClaimer;
}

/** One transaction. */
export function exchange(tx: Transaction, request: Exchange): Exchanged {
  const { sql, now } = tx;
  const { incarnation, claims, alone } = request;
  // Nobody would ever reap what a dead incarnation claims.
  const alive = sql.isAlive.get(incarnation) !== undefined;
  const settled = settleAll(tx, request.settlements, alive);
  const claimed: ClaimedBatch[] = [];
  const turns = alive ? start(tx, claims, { incarnation, claimed }) : [];
  const suspects = turns.length > 0 && sql.anySuspect.get() !== undefined;
  const suspect = suspects && alone ? claimSuspect(tx, turns) : false;
  let more = false;
  let nextAt: number | null = null;
  for (const { claimer } of turns) {
    // Also without a free slot: it tells whether there is more.
    if (suspect) claimer.stop();
    more = claimer.claim() || more;
    nextAt = earlier(nextAt, claimer.nextLookAt());
  }
  if (suspects) for (const turn of turns) nextAt = earlier(nextAt, nextSuspectAt(tx, turn));
  const suspectWaiting =
    suspects && turns.some((turn) => !isThrottled(turn) && dueSuspect(tx, turn.claim) !== null);
  return { settled, claimed, nextAt, more, suspectWaiting, now };
}

function start(
  tx: Transaction,
  claims: readonly QueueClaim[],
  claimer: { readonly incarnation: number; readonly claimed: ClaimedBatch[] },
): QueueTurn[] {
  const turns: QueueTurn[] = [];
  for (const claim of claims) {
    const started = QueueClaimer.start(tx, claim, claimer);
    if (started !== null) turns.push({ claim, claimer: started });
  }
  return turns;
}

/** Claims the suspect that has waited longest, if one may start. */
function claimSuspect(tx: Transaction, turns: readonly QueueTurn[]): boolean {
  let first: { readonly turn: QueueTurn; readonly suspect: SuspectRow } | null = null;
  for (const turn of turns) {
    const suspect = turn.claim.limit > 0 && !isThrottled(turn) ? dueSuspect(tx, turn.claim) : null;
    if (suspect === null) continue;
    if (first === null || suspect.run_at < first.suspect.run_at) first = { turn, suspect };
  }
  if (first === null) return false;
  const batch = tx.sql.batch.get(first.suspect.id) as BatchRow;
  first.turn.claimer.claimSuspect(batch);
  return true;
}

interface SuspectRow {
  readonly id: number;
  readonly run_at: number;
}

function dueSuspect({ sql, now }: Transaction, claim: QueueClaim): SuspectRow | null {
  const { groupConcurrency } = capsOf(claim);
  return (sql.dueSuspect.get(claim.queue, now, groupConcurrency) as SuspectRow | undefined) ?? null;
}

/** When a suspect may be claimable that is not now. */
function nextSuspectAt(tx: Transaction, { claim, claimer }: QueueTurn): number | null {
  const { throttledUntil: until } = claimer;
  if (until !== null && dueSuspect(tx, claim) !== null) return until;
  const { at } = tx.sql.nextSuspect.get(claim.queue, tx.now) as { readonly at: number | null };
  return until === null || at === null ? at : Math.max(at, until);
}

function isThrottled({ claimer }: QueueTurn): boolean {
  return claimer.throttledUntil !== null;
}

function earlier(a: number | null, b: number | null): number | null {
  if (a === null || b === null) return a ?? b;
  return Math.min(a, b);
}
