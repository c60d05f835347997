/** What `status()` tells of a definition. */
import type { Storage } from "../storage/storage.ts";
import type { Queue } from "./queue.ts";

/** One batch that a process runs now. */
export interface RunningBatchStatus {
  readonly batchId: string;
  readonly groupKey: string | undefined;
  readonly size: number;
  readonly attempt: number;
  readonly claimedAt: Date;
  /** What the handler last said with `ctx.progress`. */
  readonly percent: number | null;
  readonly note: string | null;
}

/** What `status()` resolves with. Counts cover all processes. */
export interface BatchStatus {
  readonly name: string;
  readonly tags: readonly string[];
  readonly paused: boolean;
  /** Items accepted and not yet handed to a handler. */
  readonly waiting: number;
  /** Groups with such items. */
  readonly groups: number;
  /** Batches that wait for another attempt. */
  readonly retrying: number;
  /** Batches that a handler has now. */
  readonly leased: number;
  /** Dead letters. */
  readonly dead: number;
  /** When the oldest waiting item is due; `null` when none waits. */
  readonly dueAt: Date | null;
  /** Until when `throttle` hands nothing over, over all processes; `null` when it would now. */
  readonly throttledUntil: Date | null;
  readonly running: readonly RunningBatchStatus[];
}

/** Asks the storage. */
export async function statusOf(storage: Storage, queue: Queue): Promise<BatchStatus> {
  const { dueAt, ...counts } = await storage.counts(queue.id, null);
  const running = (await storage.running(queue.id)).map((batch): RunningBatchStatus => ({
    batchId: String(batch.batch),
    groupKey: queue.grouped ? batch.group : undefined,
    size: batch.count,
    attempt: batch.attempt,
    claimedAt: new Date(batch.claimedAt),
    percent: batch.percent,
    note: batch.note,
  }));
  const { id, name, tags, throttle } = queue;
  const until = throttle === undefined ? null : await storage.throttledUntil(id, throttle);
  return {
    name,
    tags,
    ...counts,
    dueAt: dateOf(dueAt),
    throttledUntil: dateOf(until),
    running,
  };
}

function dateOf(at: number | null): Date | null {
  return at === null ? null : new Date(at);
}
