/** What became of single items: kept for a while, for whoever waits for it. */
import type { StoredError } from "../../core/errors.ts";
import { itemIds, knownPlaceOf, placeOf, unpackMembers } from "../../core/members.ts";
import type { ItemResult, ResultKind } from "../../core/results.ts";
import type { FoundResult } from "../results.ts";
import type { Statements } from "./prepared.ts";
import { queueRow } from "./queues.ts";
import type { Transaction } from "./transaction.ts";

/** Of two for the same item the first one stays. */
export function keepResults(
  { sql, now }: Transaction,
  queue: number,
  results: readonly ItemResult[],
): void {
  for (const { id, kind, value, error, ttlMs } of results) {
    const { chunk, index } = placeOf(id);
    const expiresAt = ttlMs === Number.POSITIVE_INFINITY ? null : now + ttlMs;
    const text = error === null ? null : JSON.stringify(error);
    sql.keepResult.run(chunk, index, queue, kind, value, text, now, expiresAt);
  }
}

interface ResultRow {
  readonly kind: ResultKind;
  readonly value: string | null;
  readonly error: string | null;
  readonly ended_at: number;
}

export function findResults(
  sql: Statements,
  now: number,
  queue: number,
  ids: readonly string[],
): FoundResult[] {
  queueRow(sql, queue);
  let prepared: ReadonlySet<string> | undefined;
  return ids.map((id) => {
    const place = knownPlaceOf(id);
    if (place === null) return { status: "unknown" };
    const { chunk, index } = place;
    const row = sql.resultOf.get(chunk, index, queue, now) as ResultRow | undefined;
    if (row !== undefined) return found(row);
    const pending =
      sql.hasItem.get(chunk, queue, index) !== undefined ||
      // Read only for what has left its chunk.
      (prepared ??= preparedIds(sql, queue)).has(id);
    return { status: pending ? "pending" : "unknown" };
  });
}

function found({ kind, value, error, ended_at: endedAt }: ResultRow): FoundResult {
  const stored = error === null ? null : (JSON.parse(error) as StoredError);
  return { status: "finished", kind, value, error: stored, endedAt };
}

function preparedIds(sql: Statements, queue: number): Set<string> {
  const rows = sql.preparedMembers.all({ queue }) as { readonly members: string }[];
  return new Set(rows.flatMap(({ members }) => itemIds(unpackMembers(members))));
}

/** Deletes results that are past their time, `most` at a time. */
export function forgetResults({ sql, now }: Transaction, most: number): void {
  sql.forgetResults.run(now, most);
}
