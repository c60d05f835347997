/** Settles tasks that ended, claims what is due, and says when to look again. */
import type { CanceledTasks, ClaimedSlice, PoolExchange, PoolExchanged } from "../pools.ts";
import { PoolTurn } from "./pool-claim.ts";
import { settleTasks } from "./pool-settle.ts";
import type { Transaction } from "./transaction.ts";

/** One transaction. */
export function exchangeTasks(tx: Transaction, request: PoolExchange): PoolExchanged {
  const { sql, now } = tx;
  const { incarnation, settlements, claims, alone } = request;
  // Nobody would ever reap what a dead incarnation claims.
  if (sql.isAlive.get(incarnation) === undefined) {
    const settled = settlements.map(() => "lost" as const);
    const nothing = { claimed: [], canceled: [], nextAt: null, more: false };
    return { settled, ...nothing, suspectWaiting: false, now };
  }
  const { settled, canceled } = settleTasks(tx, settlements);
  const claimed: ClaimedSlice[] = [];
  const turns: PoolTurn[] = [];
  for (const claim of claims) {
    const turn = PoolTurn.start(tx, claim, { incarnation, claimed });
    if (turn !== null) turns.push(turn);
  }
  if (alone) claimSuspects(turns);
  const suspects = claimed.length > 0;
  let more = false;
  let nextAt: number | null = null;
  for (const turn of turns) {
    const rest = turn.claim(!suspects);
    more = rest.more || more;
    nextAt = earlier(nextAt, rest.nextAt);
  }
  const suspectWaiting = turns.some((turn) => turn.firstSuspect() !== null);
  const cancels = [...canceled, ...cancelsHeldBy(tx, incarnation)];
  return { settled, claimed, canceled: cancels, nextAt, more, suspectWaiting, now };
}

/** Claims from the pool whose first suspect has waited longest. */
function claimSuspects(turns: readonly PoolTurn[]): void {
  let first: { readonly turn: PoolTurn; readonly at: number } | null = null;
  for (const turn of turns) {
    const suspect = turn.isFree ? turn.firstSuspect() : null;
    if (suspect === null) continue;
    if (first === null || suspect.run_at < first.at) first = { turn, at: suspect.run_at };
  }
  first?.turn.claimSuspects();
}

/** Tasks that the incarnation runs and that were cancelled. */
function cancelsHeldBy({ sql }: Transaction, incarnation: number): CanceledTasks[] {
  if (sql.anyCancel.get() === undefined) return [];
  const slices = new Map<number, { batch: number; token: number; indices: number[] }>();
  for (const { slice, idx, token } of sql.cancelsHeldBy.all(incarnation) as CancelRow[]) {
    const tasks = slices.get(slice) ?? { batch: slice, token, indices: [] };
    tasks.indices.push(idx);
    slices.set(slice, tasks);
  }
  return [...slices.values()];
}

interface CancelRow {
  readonly slice: number;
  readonly idx: number;
  readonly token: number;
}

function earlier(a: number | null, b: number | null): number | null {
  if (a === null || b === null) return a ?? b;
  return Math.min(a, b);
}
