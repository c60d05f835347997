/** The rows of batches. */
import type { CrashRecord } from "../../core/lease.ts";
import { transition, type BatchEvent, type BatchState } from "../../core/transitions.ts";

/** A row of `batchwork_batches`, without what only some look at. */
export interface BatchRow {
  readonly id: number;
  readonly queue: number;
  /** Id of its group. */
  readonly grp: number;
  readonly state: BatchState;
  readonly token: number;
  readonly settled: number | null;
  readonly attempt: number;
  readonly run_at: number;
  readonly count: number;
  /** `null` for a child: worked out when it is claimed, where its items are read anyway. */
  readonly bytes: number | null;
  /** `null` once it is done. */
  readonly members: string | null;
  readonly reason: string;
  readonly parent: number | null;
  /** `null` where it is the batch itself. */
  readonly root: number | null;
  readonly first_chunk: number;
  readonly keyed: number;
  readonly prepared: number;
  readonly alone: number;
  readonly suspect: number;
  readonly crashes: number;
  readonly sealed_at: number;
}

export function crashRecord(batch: Pick<BatchRow, "suspect" | "crashes">): CrashRecord {
  return { suspect: batch.suspect === 1, crashes: batch.crashes };
}

/**
 * The state to write after `event`. Every write of a state asks; `null` is a batch not sealed yet.
 */
export function stateAfter(state: BatchState | null, event: BatchEvent): BatchState {
  const next = transition(state, event);
  if (next === null) throw new Error(`A batch that is ${state} cannot ${event}.`);
  return next;
}

export function flag(value: boolean): number {
  return value ? 1 : 0;
}
