/** The end of an attempt, carried out under the batch's token. */
import {
  itemCount,
  selectMembers,
  unpackMembers,
  packMembers,
  type Member,
} from "../../core/members.ts";
import type { Lease } from "../../core/lease.ts";
import type { Child, Outcome, Split } from "../../core/settle.ts";
import type { BatchState } from "../../core/transitions.ts";
import type { Settlement } from "../storage.ts";
import { stateAfter, type BatchRow } from "./batches.ts";
import { freeMembers } from "./chunks.ts";
import { bury } from "./dead.ts";
import { GroupChanges } from "./group-changes.ts";
import { forgetNowAndThen } from "./housekeeping.ts";
import { endKeys } from "./keys.ts";
import { keepResults } from "./results.ts";
import { keepItems } from "./retention.ts";
import type { Transaction } from "./transaction.ts";

/** What decides whether a settlement counts, and all that a plain success needs. */
interface LeaseRow {
  readonly queue: number;
  readonly grp: number;
  readonly state: BatchState;
  readonly token: number;
  readonly settled: number | null;
  readonly suspect: number;
  readonly members: string | null;
  readonly keyed: number;
}

/**
 * Settles each; the answers are position by position. A dead incarnation settles nothing any more.
 */
export function settleAll(
  tx: Transaction,
  settlements: readonly Settlement[],
  alive: boolean,
): ("settled" | "lost")[] {
  if (!alive) {
    return settlements.map((lease) => {
      return wasSettled(tx.sql.leaseOf.get(lease.batch), lease) ? "settled" : "lost";
    });
  }
  const groups = new GroupChanges(tx);
  const answers = settlements.map((settlement) =>
    settle(tx, groups, settlement, settlement.outcome) ? "settled" : "lost",
  );
  groups.save();
  return answers;
}

/** True when the outcome counts: now, or because this very settlement was carried out before. */
export function settle(
  tx: Transaction,
  groups: GroupChanges,
  { batch, token }: Lease,
  outcome: Outcome,
): boolean {
  const row = tx.sql.leaseOf.get(batch) as LeaseRow | undefined;
  if (row === undefined) return false;
  if (row.state !== "leased" || row.token !== token) return row.settled === token;
  if (outcome.kind === "again") {
    const runAt = tx.now + outcome.delayMs;
    const error = JSON.stringify(outcome.error);
    tx.sql.retryBatch.run(stateAfter(row.state, "retry"), outcome.attempt, runAt, error, batch);
    groups.ended(row.grp);
    if (row.suspect === 0) groups.readied(row.grp, runAt);
    return true;
  }
  if (outcome.results !== undefined) keepResults(tx, row.queue, outcome.results);
  let error: string | null = null;
  if (outcome.kind === "split") {
    error = JSON.stringify(outcome.error);
    split(tx, groups, tx.sql.batch.get(batch) as BatchRow, outcome);
  } else {
    const members = unpackMembers(row.members as string);
    if (outcome.keep === true) keepItems(tx, batch, row.grp, members);
    freeMembers(tx.sql, members);
    if (row.keyed === 1) endKeys(tx, members);
  }
  tx.sql.finishBatch.run(stateAfter(row.state, "finish"), token, error, tx.now, batch);
  forgetNowAndThen(tx, row.queue, batch);
  groups.ended(row.grp);
  return true;
}

/** True when `lease` is the one under which the batch runs now. */
export function isLeased({ sql }: Transaction, { batch, token }: Lease): boolean {
  const row = sql.leaseOf.get(batch) as LeaseRow | undefined;
  return row?.state === "leased" && row.token === token;
}

/** True when an attempt under this lease was settled. */
export function wasSettled(row: unknown, { token }: Lease): boolean {
  return (row as LeaseRow | undefined)?.settled === token;
}

function split(tx: Transaction, groups: GroupChanges, batch: BatchRow, outcome: Split): void {
  const members = unpackMembers(batch.members as string);
  const gone = new Set<number>();
  for (let position = 0; position < batch.count; position++) gone.add(position);
  for (const child of outcome.children) {
    for (const position of child.positions) gone.delete(position);
    insertChild(tx, batch, members, child);
    groups.readied(batch.grp, tx.now + child.delayMs);
  }
  bury(tx, batch, members, outcome.dead, batch.attempt);
  if (batch.keyed === 1) endKeys(tx, done(members, gone, outcome));
  // What the children carry on stays; the rest is done, or is a dead letter by now.
  freeMembers(tx.sql, selectMembers(members, [...gone]));
}

/** What neither goes on nor is dead. */
function done(members: readonly Member[], gone: ReadonlySet<number>, { dead }: Split): Member[] {
  const ended = new Set(gone);
  for (const { position } of dead) ended.delete(position);
  return selectMembers(members, [...ended]);
}

/** A new batch of some items of an old one, with a clean crash record: the handler did end. */
function insertChild(
  { sql, now }: Transaction,
  parent: BatchRow,
  members: readonly Member[],
  child: Child,
): void {
  const selected = selectMembers(members, child.positions);
  sql.insertChild.run(
    parent.queue,
    parent.grp,
    child.attempt,
    now + child.delayMs,
    itemCount(selected),
    packMembers(selected),
    parent.reason,
    parent.id,
    parent.root ?? parent.id,
    // What it was made of is gone when the batch was prepared.
    parent.prepared === 1 ? parent.first_chunk : (selected[0] as Member).chunk,
    parent.keyed,
    parent.prepared,
    now,
    JSON.stringify(child.error),
  );
}
