/** What is kept of work that is over: the items of finished batches, and dead letters. */
import { joinItems } from "../../core/codec.ts";
import { packMembers, type Member } from "../../core/members.ts";
import { FINISHED_MS_MIN } from "../../core/retention.ts";
import { groupName } from "../../core/group-name.ts";
import type { AppendedChunk } from "../storage.ts";
import { stateAfter } from "./batches.ts";
import { discard } from "./dead.ts";
import { GroupChanges } from "./group-changes.ts";
import { append } from "./intake.ts";
import { memberTexts } from "./payloads.ts";
import type { Transaction } from "./transaction.ts";

/** Of a queue; `null` for the default. */
export interface RetentionRow {
  readonly id: number;
  readonly done_count: number | null;
  readonly done_age: number | null;
  readonly dead_count: number | null;
  readonly dead_age: number | null;
}

/** Dead letters that one step deletes at most: each costs more than a row. */
const LETTERS_MAX = 1000;

/** Keeps the items of a batch that is settled, before they are freed. */
export function keepItems(
  { sql }: Transaction,
  batch: number,
  group: number,
  members: readonly Member[],
): void {
  const { grp } = sql.groupById.get(group) as { readonly grp: string };
  sql.keepItems.run(batch, grp, joinItems(memberTexts(sql, members)));
}

interface KeptRow {
  readonly queue: number;
  readonly count: number;
  readonly bytes: number | null;
  readonly reason: string;
  /** `null` where it is the batch itself. */
  readonly root: number | null;
  readonly prepared: number;
  readonly grp: string;
  readonly data: string;
}

/** Puts kept items back as a new batch. Returns its id; `null` when they are not kept. */
export function replay(tx: Transaction, queue: number, batch: number): number | null {
  const { sql, now } = tx;
  const row = sql.keptItems.get(batch, queue) as KeptRow | undefined;
  if (row === undefined) return null;
  const { count, grp, data } = row;
  sql.insertGroup.run(queue, grp);
  const { id: group } = sql.groupByName.get(queue, grp) as { readonly id: number };
  // A claim would seal what the queue has; this is in a batch already.
  const bytes = row.bytes ?? Buffer.byteLength(data);
  const chunk = { queue: -queue, group: groupName(grp), count, bytes, payload: data, dueInMs: 0 };
  const [{ id: first }] = append(tx, [chunk]) as [AppendedChunk];
  const members: Member[] = [{ chunk: first, items: { from: 0, count }, whole: true }];
  const { lastInsertRowid } = sql.insertReplayed.run(
    queue,
    group,
    stateAfter("leased", "release"),
    now,
    count,
    bytes,
    packMembers(members),
    row.reason,
    batch,
    row.root ?? batch,
    first,
    row.prepared,
    now,
  );
  const groups = new GroupChanges(tx);
  groups.readied(group, now);
  groups.save();
  return Number(lastInsertRowid);
}

/** Forgets up to `most` finished batches that the queue does not keep. */
export function forgetFinished(
  { sql, now }: Transaction,
  { id: queue, done_count: count, done_age: age }: RetentionRow,
  most: number,
): void {
  const recent = now - FINISHED_MS_MIN;
  if (count !== null && count < Number.MAX_SAFE_INTEGER) {
    const newest = sql.finishedTooMany.get(queue, count) as { readonly id: number } | undefined;
    if (newest !== undefined) forget(sql, sql.finishedBeyond.all(queue, newest.id, most, recent));
  }
  if (age !== null && age < Number.MAX_SAFE_INTEGER) {
    const before = Math.min(recent, now - age);
    forget(sql, sql.finishedBeyond.all(queue, Number.MAX_SAFE_INTEGER, most, before));
  }
}

/** Forgets these finished batches, and their items. */
export function forget(sql: Transaction["sql"], rows: readonly unknown[]): void {
  if (rows.length === 0) return;
  const ids = JSON.stringify((rows as readonly { readonly id: number }[]).map(({ id }) => id));
  sql.forgetKept.run(ids);
  sql.forgetBatches.run(ids);
}

/** Forgets dead letters that the queue does not keep, as if somebody had discarded them. */
export function forgetLetters(tx: Transaction, retention: RetentionRow): void {
  const { id: queue, dead_count: count, dead_age: age } = retention;
  const { sql, now } = tx;
  const beyond: number[] = [];
  const add = (last: number, before: number): void => {
    const rows = sql.lettersBeyond.all(queue, last, LETTERS_MAX, before);
    for (const { id } of rows as { readonly id: number }[]) beyond.push(id);
  };
  if (count !== null && count < Number.MAX_SAFE_INTEGER) {
    const newest = sql.lettersTooMany.get(queue, count) as { readonly id: number } | undefined;
    if (newest !== undefined) add(newest.id, now);
  }
  if (age !== null && age < Number.MAX_SAFE_INTEGER) add(Number.MAX_SAFE_INTEGER, now - age);
  if (beyond.length > 0) discard(tx, queue, beyond);
}
