/** How a job is, in the user's words. */
import { sameKeys } from "../core/coverage.ts";
import type { StoredError } from "../core/errors.ts";
import { progressOf } from "../core/iterator-progress.ts";
import type { JobState } from "../core/iterator-state.ts";
import type { LoopStatus } from "../core/loop-transitions.ts";
import type { LoopRow } from "../storage/loops.ts";
import type { CoverageRange, CoverageReport } from "./iterator-context.ts";
import type { IteratorDefinition } from "./iterator-definition.ts";
import { joinStates, rangesOf, stateOf } from "./iterator-partitions.ts";

/** `pending`: it has not done its first page yet. */
export type JobStatusName = "pending" | "running" | "paused" | "completed" | "failed" | "cancelled";

/** What `status()` tells. */
export interface JobStatus {
  readonly jobId: string;
  readonly status: JobStatusName;
  /**
   * What it does: notes the keys (`census`), processes pages (`walk`), compares (`verify`), waits
   * for its partitions (`join`) or for items that are retried (`settle`), calls `onComplete`
   * (`complete`).
   */
  readonly phase: JobState["phase"];
  /** Items of pages that are done, also those that are retried apart or dead. */
  readonly processedCount: number;
  readonly pages: number;
  /**
   * Items that failed on their page and wait to be tried again apart from it, and batches of them
   * that are under way: 0 once each of them is done or dead.
   */
  readonly retryingCount: number;
  /** Items that are dead letters. */
  readonly deadCount: number;
  /** Where it stands; `null` before the first page, and with partitions. */
  readonly cursor: string | null;
  /** Attempts at the current page that failed. */
  readonly retryCount: number;
  /** What the last attempt failed with. */
  readonly error: StoredError | null;
  readonly errorMessage: string | null;
  /** Why it waits, in the words of `healthCheck`; `null` when it does not. */
  readonly waitsFor: string | null;
  /** Most items of the next page. */
  readonly batchSize: number;
  readonly total: number | null;
  /** 0 to 100; `null` while the total is unknown. */
  readonly percent: number | null;
  readonly ratePerSecond: number | null;
  /** What is left at that rate, ms. */
  readonly etaMs: number | null;
  readonly dryRun: boolean;
  /** Rows that a dry run would have changed so far. */
  readonly wouldChange: number;
  /** What the proof found; `null` without `coverage`, and before it is through. */
  readonly coverage: CoverageReport | null;
  /** One for each range of keys; empty without partitions. */
  readonly partitions: readonly PartitionStatus[];
  /** When it runs next, where it is to wait. */
  readonly runsAt: Date | null;
  readonly createdAt: Date;
  readonly updatedAt: Date;
}

/** How one range of keys is. */
export interface PartitionStatus {
  readonly status: JobStatusName;
  readonly processedCount: number;
  readonly cursor: string | null;
  readonly error: StoredError | null;
}

const NONE = { waiting: 0, retrying: 0, leased: 0, dead: 0 };

export async function statusOf(definition: IteratorDefinition, row: LoopRow): Promise<JobStatus> {
  const ranges = await rangesOf(definition.storage.loops, row);
  const own = stateOf(row);
  const states = ranges.map(stateOf);
  const state = ranges.length === 0 ? own : { ...joinStates(own, states), phase: own.phase };
  const apart = state.handed === 0 ? NONE : await definition.counts(row.part);
  const { options } = definition;
  const proven = options.coverage && row.status === "done";
  return {
    jobId: row.part,
    status: nameOf(row, ranges),
    phase: state.phase,
    processedCount: state.processed,
    pages: state.pages,
    retryingCount: apart.waiting + apart.retrying + apart.leased,
    deadCount: apart.dead,
    cursor: row.cursor,
    retryCount: row.attempt,
    error: row.error,
    errorMessage: row.error?.message ?? null,
    waitsFor: state.waitsFor,
    batchSize: state.settings.batchSize ?? options.batchSize,
    total: state.total,
    ...progressOf(state.processed, state.total, state.rate),
    dryRun: state.settings.dryRun,
    wouldChange: state.wouldChange,
    coverage: proven ? coverageReport(states.length === 0 ? [own] : states) : null,
    partitions: ranges.map(partitionOf),
    runsAt: row.status === "active" && row.runAt !== null ? new Date(row.runAt) : null,
    createdAt: new Date(row.createdAt),
    updatedAt: new Date(Math.max(row.updatedAt, ...ranges.map(({ updatedAt }) => updatedAt))),
  };
}

function partitionOf(row: LoopRow): PartitionStatus {
  const { processed } = stateOf(row);
  const { cursor, error } = row;
  return { status: nameOf(row, []), processedCount: processed, cursor, error };
}

const NAMES: Readonly<Record<LoopStatus, JobStatusName>> = {
  active: "running",
  idle: "running",
  paused: "paused",
  failed: "failed",
  done: "completed",
  cancelled: "cancelled",
};

/** States of a loop behind a name. */
export function statusesOf(name: JobStatusName): LoopStatus[] {
  const statuses = Object.keys(NAMES) as LoopStatus[];
  return statuses.filter((status) => NAMES[status] === (name === "pending" ? "running" : name));
}

export function nameOf(row: LoopRow, ranges: readonly LoopRow[]): JobStatusName {
  const begun = row.step > 0 || row.attempt > 0 || ranges.length > 0;
  return NAMES[row.status] === "running" && !begun ? "pending" : NAMES[row.status];
}

/** What the proofs of a job's ranges say together. */
export function coverageReport(states: readonly JobState[]): CoverageReport {
  const sum = (of: (state: JobState) => number): number =>
    states.reduce((total, state) => total + of(state), 0);
  const [missed, repeated] = [sum(({ proof }) => proof.missed), sum((s) => s.proof.repeated)];
  return {
    proven: missed === 0 && repeated === 0,
    atStart: sum(({ proof }) => proof.atStart),
    visited: sum(({ proof }) => proof.visited),
    atEnd: sum(({ proof }) => proof.atEnd),
    missed,
    late: sum(({ proof }) => proof.late),
    repeated,
    ranges: states.flatMap(({ sections, to }) =>
      sections.map((section): CoverageRange => ({
        to: section.to ?? to,
        atStart: section.start.count,
        visited: section.visited.count,
        same: sameKeys(section.start, section.visited),
      })),
    ),
  };
}
