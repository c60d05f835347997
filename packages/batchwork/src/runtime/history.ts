/** Batches that are over. */
import { BatchworkError, type StoredError } from "../core/errors.ts";
import type { FlushReason } from "../core/flush.ts";
import type { FinishedRow } from "../storage/history.ts";
import type { Queue } from "./queue.ts";
import type { Runner } from "./runner.ts";

/** Options of `batch.history`. */
export interface BatchHistoryQuery {
  /** Most batches to return, 1 to 1,000. Default 100. */
  readonly limit?: number;
  /** Only batches older than this one: the last `batchId` of the page before. */
  readonly before?: string;
  /** Only this group. */
  readonly group?: string;
}

/** One batch that is over. */
export interface FinishedBatch {
  readonly batchId: string;
  /** The batch that its items failed in before, where it holds but some of them; else `null`. */
  readonly parentId: string | null;
  /** The batch that first held its items; its own id when it has no parent. */
  readonly rootId: string;
  /**
   * What `groupBy` returned; `undefined` without `groupBy`, and where the group was forgotten:
   * groups that are empty are, once there are a thousand of them.
   */
  readonly groupKey: string | undefined;
  readonly size: number;
  /** The number of its last attempt: 1 when it was not tried again. */
  readonly attempts: number;
  /** Why its items were handed over when they were. */
  readonly reason: FlushReason;
  /** When it was put together. */
  readonly sealedAt: Date;
  /** When its last attempt began. */
  readonly startedAt: Date;
  readonly finishedAt: Date;
  /** From `startedAt` to `finishedAt`, ms. */
  readonly durationMs: number;
  /**
   * `"failed"` when some of its items failed in the last attempt. They went on in batches whose
   * `parentId` it is, or became dead letters; the others are done.
   */
  readonly outcome: "succeeded" | "failed";
  /** What they failed with; `undefined` when it succeeded. */
  readonly error: StoredError | undefined;
  /** True where its items are kept (`removeOnComplete`): `replay` hands them over again. */
  readonly kept: boolean;
}

const PAGE_DEFAULT = 100;
const PAGE_MAX = 1000;

/** Asks the storage. */
export async function historyOf(
  runner: Runner,
  queue: Queue,
  query: BatchHistoryQuery = {},
): Promise<FinishedBatch[]> {
  const { group = null, limit = PAGE_DEFAULT } = query;
  if (!Number.isSafeInteger(limit) || limit < 1 || limit > PAGE_MAX) {
    const message = `limit must be a whole number from 1 to ${PAGE_MAX}, not ${limit}.`;
    throw new BatchworkError("OPTION_INVALID", message, { field: "limit", value: limit });
  }
  const before = query.before === undefined ? null : batchNumber("before", query.before);
  await runner.ready();
  const rows = await runner.storage.history({ queue: queue.id, group, before, limit });
  return rows.map((row) => finishedBatch(queue, row));
}

/** The id of a batch as the storage has it. Throws `OPTION_INVALID`. */
export function batchNumber(field: string, given: string): number {
  const id = Number(given);
  if (/^\d+$/v.test(given) && Number.isSafeInteger(id)) return id;
  const message = `${field} must be the batchId of a batch, not ${JSON.stringify(given)}.`;
  throw new BatchworkError("OPTION_INVALID", message, { field, value: given });
}

function finishedBatch(queue: Queue, row: FinishedRow): FinishedBatch {
  return {
    batchId: String(row.batch),
    parentId: row.parentId === null ? null : String(row.parentId),
    rootId: String(row.rootId),
    groupKey: queue.grouped ? (row.group ?? undefined) : undefined,
    size: row.count,
    attempts: row.attempt,
    reason: row.reason,
    sealedAt: new Date(row.sealedAt),
    startedAt: new Date(row.claimedAt),
    finishedAt: new Date(row.finishedAt),
    durationMs: row.finishedAt - row.claimedAt,
    outcome: row.error === null ? "succeeded" : "failed",
    error: row.error ?? undefined,
    kept: row.kept,
  };
}
