/** What is left, what waits, what runs. */
import type { Outstanding, QueueCounts, RunningBatch } from "../storage.ts";
import { groupName, storedGroup } from "../../core/group-name.ts";
import { countChunks } from "./groups.ts";
import { queueRow } from "./queues.ts";
import type { Statements } from "./prepared.ts";
import type { Transaction } from "./transaction.ts";

/** Batches that `running` lists at most. */
const RUNNING_MAX = 1000;

/** Caps under which every group is worth a look: for a count without a claim. */
const NO_CAPS = { maxSize: 0, maxBytes: 0, groupConcurrency: 0 };

export function makeDue(tx: Transaction, id: number, group: string | null): number {
  const { sql, now } = tx;
  const queue = queueRow(sql, id);
  const { id: last } = sql.mark.get() as { readonly id: number | null };
  const mark = last ?? 0;
  if (queue.paused === 1) return mark;
  countChunks(tx, queue, NO_CAPS);
  const name = group === null ? null : storedGroup(group);
  sql.flush.run({ queue: id, group: name, mark, now, turn: tx.nextTurn() });
  return mark;
}

/** Counts into groups what was appended, without a claim. */
export function countWaiting(tx: Transaction, id: number): void {
  countChunks(tx, queueRow(tx.sql, id), NO_CAPS);
}

/** How many chunk ids lie beyond what is counted. */
export function uncounted(sql: Statements, id: number): number {
  const { id: last } = sql.lastChunk.get() as { readonly id: number | null };
  return (last ?? 0) - queueRow(sql, id).counted;
}

export function outstanding(sql: Statements, query: Outstanding): number {
  const { queue, mark, until } = query;
  const { counted } = queueRow(sql, queue);
  const group = query.group === null ? null : storedGroup(query.group);
  let left = number(sql.waitingGroups.get({ queue, mark, group }));
  if (mark > counted) left += number(sql.freshGroups.get({ queue, mark, group, counted }));
  const id = groupId(sql, queue, group);
  const all = until === "finished" ? 1 : 0;
  return left + number(sql.liveBatches.get({ queue, mark, id, all }));
}

interface Totals {
  readonly items: number;
  readonly groups: number;
  readonly due_at: number | null;
}

interface CountedTotals extends Totals {
  readonly active: number;
  readonly ready: number;
  readonly flushed_at: number | null;
}

export function counts(sql: Statements, queue: number, name: string | null): QueueCounts {
  const { paused, counted } = queueRow(sql, queue);
  const group = name === null ? null : storedGroup(name);
  const old = sql.countedTotals.get({ queue, group }) as CountedTotals;
  const fresh = sql.freshTotals.get({ queue, group, counted }) as Totals;
  const suspects = number(sql.suspects.get({ queue, id: groupId(sql, queue, group) }));
  return {
    paused: paused === 1,
    waiting: old.items + fresh.items,
    groups: old.groups + fresh.groups,
    retrying: old.ready + suspects,
    leased: old.active,
    dead: number(sql.deadCount.get({ queue, group })),
    dueAt: earliest(old.due_at, old.flushed_at, fresh.due_at),
  };
}

function earliest(...times: readonly (number | null)[]): number | null {
  const known = times.filter((time) => time !== null);
  return known.length === 0 ? null : Math.min(...known);
}

interface RunningRow {
  readonly id: number;
  readonly token: number;
  readonly grp: string;
  readonly count: number;
  readonly attempt: number;
  readonly owner: number;
  readonly claimed_at: number;
  readonly percent: number | null;
  readonly note: string | null;
}

export function running(sql: Statements, queue: number): RunningBatch[] {
  const rows = sql.running.all(queue, RUNNING_MAX) as RunningRow[];
  return rows.map(({ id, grp, owner, claimed_at: claimedAt, ...row }) => {
    const { token, count, attempt, percent, note } = row;
    const group = groupName(grp);
    const incarnation = owner;
    return { batch: id, token, group, count, attempt, incarnation, claimedAt, percent, note };
  });
}

/** The id of a group; 0, which no group has, for one that is not there. */
function groupId(sql: Statements, queue: number, name: string | null): number | null {
  if (name === null) return null;
  const row = sql.groupByName.get(queue, name) as { readonly id: number } | undefined;
  return row?.id ?? 0;
}

function number(row: unknown): number {
  return (row as { readonly n: number }).n;
}
