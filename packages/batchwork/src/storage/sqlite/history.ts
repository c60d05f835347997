/** Batches that are over, and still kept. */
import type { StoredError } from "../../core/errors.ts";
import type { FlushReason } from "../../core/flush.ts";
import { groupName, storedGroup } from "../../core/group-name.ts";
import type { FinishedRow, HistoryQuery } from "../history.ts";
import type { Statements } from "./prepared.ts";
import { queueRow } from "./queues.ts";

interface DoneRow {
  readonly id: number;
  readonly parent: number | null;
  /** `null` where it is the batch itself. */
  readonly root: number | null;
  /** `null` when the group is forgotten. */
  readonly grp: string | null;
  readonly count: number;
  readonly attempt: number;
  readonly reason: string;
  readonly sealed_at: number;
  readonly claimed_at: number;
  readonly finished_at: number;
  readonly error: string | null;
  readonly kept: number;
}

export function history(sql: Statements, query: HistoryQuery): FinishedRow[] {
  const { queue, limit } = query;
  queueRow(sql, queue);
  const before = query.before ?? Number.MAX_SAFE_INTEGER;
  const group = query.group === null ? null : storedGroup(query.group);
  const rows = sql.history.all({ queue, before, group, limit }) as DoneRow[];
  return rows.map((row) => ({
    batch: row.id,
    parentId: row.parent,
    rootId: row.root ?? row.id,
    group: row.grp === null ? null : groupName(row.grp),
    count: row.count,
    attempt: row.attempt,
    reason: row.reason as FlushReason,
    sealedAt: row.sealed_at,
    claimedAt: row.claimed_at,
    finishedAt: row.finished_at,
    error: row.error === null ? null : (JSON.parse(row.error) as StoredError),
    kept: row.kept === 1,
  }));
}
