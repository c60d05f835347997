/** Dead letters: kept until somebody redrives or discards them. */
import { splitItems } from "../../core/codec.ts";
import { itemIds, selectMembers, type Member } from "../../core/members.ts";
import type { Dead } from "../../core/settle.ts";
import { deathsToKeep } from "../../core/submitted.ts";
import { letter, RedrivenChunks, type LetterRow } from "../letters.ts";
import type { AppendedChunk, DeadQuery, DeadRow } from "../storage.ts";
import { storedGroup } from "../../core/group-name.ts";
import { append } from "./intake.ts";
import { endKeysOfDead, hasKeys, moveKeys } from "./keys.ts";
import { memberTexts } from "./payloads.ts";
import { queueRow } from "./queues.ts";
import type { Statements } from "./prepared.ts";
import { keepResults } from "./results.ts";
import type { Transaction } from "./transaction.ts";

/** The batch in which items died. */
export interface Grave {
  readonly id: number;
  readonly queue: number;
  readonly grp: number;
  readonly root: number | null;
  readonly crashes: number;
}

/** Letters read at a time by a redrive. */
const PAGE = 500;

/** Makes dead letters of some items of a batch. */
export function bury(
  tx: Transaction,
  batch: Grave,
  members: readonly Member[],
  dead: readonly Dead[],
  attempts: number,
): void {
  if (dead.length === 0) return;
  const { sql, now } = tx;
  const letters = dead.toSorted((a, b) => a.position - b.position);
  const selected = selectMembers(
    members,
    letters.map(({ position }) => position),
  );
  const items = memberTexts(sql, selected).flatMap((text) => splitItems(text));
  const ids = itemIds(selected);
  const { grp: group } = sql.groupById.get(batch.grp) as { readonly grp: string };
  const noticeAt = queueRow(sql, batch.queue).notify === 1 ? 0 : null;
  for (const [n, { error }] of letters.entries()) {
    sql.insertDead.run(
      batch.queue,
      group,
      items[n] as string,
      ids[n] as string,
      JSON.stringify(error),
      attempts,
      batch.crashes,
      batch.id,
      batch.root ?? batch.id,
      now,
      noticeAt,
    );
  }
  keepResults(tx, batch.queue, deathsToKeep(ids, items, letters));
}

export function deadLetters(sql: Statements, query: DeadQuery): DeadRow[] {
  const { queue, group, after, limit } = query;
  const rows =
    group === null
      ? sql.dead.all(queue, after, limit)
      : sql.deadOfGroup.all(queue, storedGroup(group), after, limit);
  return (rows as LetterRow[]).map((row) => letter(row));
}

export function redrive(tx: Transaction, queue: number, ids: readonly number[] | "all"): number {
  const { sql } = tx;
  const keyed = hasKeys(sql, queue);
  const chunks = new RedrivenChunks(queue, ({ chunk, itemIds: before }) => {
    const [appended] = append(tx, [chunk]);
    if (keyed) moveKeys(sql, (appended as AppendedChunk).id, before);
  });
  if (ids !== "all") {
    const list = JSON.stringify(ids);
    const rows = sql.deadByIds.all(list, queue) as LetterRow[];
    for (const row of rows) chunks.add(row);
    chunks.end();
    return rows.length === 0 ? 0 : Number(sql.deleteDead.run(list, queue).changes);
  }
  let after = 0;
  for (;;) {
    const rows = sql.dead.all(queue, after, PAGE) as LetterRow[];
    const last = rows.at(-1);
    if (last === undefined) break;
    for (const row of rows) chunks.add(row);
    after = last.id;
  }
  chunks.end();
  return after === 0 ? 0 : Number(sql.deleteAllDead.run(queue).changes);
}

export function discard(tx: Transaction, queue: number, ids: readonly number[] | "all"): number {
  const { sql } = tx;
  const list = ids === "all" ? null : JSON.stringify(ids);
  endKeysOfDead(tx, queue, list);
  const { changes } =
    list === null ? sql.deleteAllDead.run(queue) : sql.deleteDead.run(list, queue);
  return Number(changes);
}

/** Whole batches, so that one call of `onDead` can name all items that died together. */
export function takeUnnotified(
  tx: Transaction,
  queues: readonly number[],
  limit: number,
  retryMs: number,
): DeadRow[] {
  for (const queue of queues) {
    const rows = takeFrom(tx, queue, limit, retryMs);
    if (rows.length > 0) return rows;
  }
  return [];
}

function takeFrom(
  { sql, now }: Transaction,
  queue: number,
  limit: number,
  retryMs: number,
): DeadRow[] {
  const rows = sql.unnotified.all(queue, now, 0, limit) as LetterRow[];
  const last = rows.at(-1);
  if (last === undefined) return [];
  rows.push(...(sql.unnotifiedOfBatch.all(queue, now, last.id, last.batch) as LetterRow[]));
  sql.postponeNotice.run(now + retryMs, JSON.stringify(rows.map(({ id }) => id)));
  return rows.map((row) => letter(row));
}

export function acknowledgeDead({ sql }: Transaction, ids: readonly number[]): void {
  if (ids.length > 0) sql.acknowledgeDead.run(JSON.stringify(ids));
}
