/** What becomes of batches whose process died, and of what nobody needs any more. */
import { BatchworkError, type StoredError } from "../../core/errors.ts";
import { afterCrash, isDeadly } from "../../core/lease.ts";
import { unpackMembers } from "../../core/members.ts";
import type { Reaped } from "../storage.ts";
import { crashRecord, flag, stateAfter, type BatchRow } from "./batches.ts";
import { freeMembers } from "./chunks.ts";
import { bury } from "./dead.ts";
import { GroupChanges } from "./group-changes.ts";
import { keepHouse } from "./housekeeping.ts";
import { heldBy } from "./leases.ts";
import { crashSlices } from "./pool-leases.ts";
import type { Transaction } from "./transaction.ts";

export function reap(tx: Transaction, maxCrashes: number): Reaped {
  const groups = new GroupChanges(tx);
  const incarnations: number[] = [];
  let released = 0;
  let dead = 0;
  for (const { id, expires_at: expiresAt } of expired(tx)) {
    // Compared once more: what counts is the expiry that was read.
    if (Number(tx.sql.bury.run(id, expiresAt).changes) === 0) continue;
    incarnations.push(id);
    tx.sql.crashLoops.run(id);
    for (const batch of heldBy(tx, id)) {
      const lost = crash(tx, groups, batch, id, maxCrashes);
      dead += lost;
      if (lost === 0) released++;
    }
    const slices = crashSlices(tx, id, maxCrashes);
    released += slices.released;
    dead += slices.dead;
  }
  groups.save();
  keepHouse(tx);
  const { at } = tx.sql.nextExpiry.get() as { readonly at: number | null };
  return { incarnations, released, dead, nextInMs: at === null ? null : at - tx.now };
}

interface IncarnationRow {
  readonly id: number;
  readonly expires_at: number;
}

function expired({ sql, now }: Transaction): IncarnationRow[] {
  return sql.expired.all(now) as IncarnationRow[];
}

/** The owner died. Returns how many items are dead letters because of it. */
function crash(
  tx: Transaction,
  groups: GroupChanges,
  batch: BatchRow,
  incarnation: number,
  maxCrashes: number,
): number {
  const { sql, now } = tx;
  const { id, grp, alone, settled } = batch;
  const record = afterCrash(crashRecord(batch), alone === 1);
  const { suspect, crashes } = record;
  const state = stateAfter(batch.state, "crash");
  groups.ended(grp);
  if (!isDeadly(record, maxCrashes)) {
    sql.crashBatch.run(state, now, flag(suspect), crashes, incarnation, alone, id);
    return 0;
  }
  const members = unpackMembers(batch.members as string);
  const error = crashedError(crashes);
  const dead = Array.from({ length: batch.count }, (_, position) => ({ position, error }));
  // The attempt that the process did not survive is not one that failed.
  bury(tx, { ...batch, crashes }, members, dead, batch.attempt - 1);
  freeMembers(sql, members);
  const text = JSON.stringify(error);
  sql.finishBatch.run(stateAfter(state, "finish"), settled, text, now, id);
  return batch.count;
}

/** Without a stack: it would show this file, where nothing is wrong. */
function crashedError(crashes: number): StoredError {
  const message = `The process died ${crashes} times while it ran this batch alone.`;
  const { name, code } = new BatchworkError("CRASHED", message);
  return { name, message, code };
}
