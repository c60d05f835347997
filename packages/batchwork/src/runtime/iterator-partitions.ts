/** A job that is cut into ranges of keys: each is a loop of its own, and the job waits for all. */
import { NO_PROOF, firstState, type JobState, type Proof } from "../core/iterator-state.ts";
import { BatchworkError, storedError, type StoredError } from "../core/errors.ts";
import type { LoopControl } from "../core/loop-transitions.ts";
import type { LoopKey, LoopRow, LoopStorage, NewLoop } from "../storage/loops.ts";
import type { JobOwner } from "./iterator-steps.ts";
import { JOB_KIND, RANGE_KIND } from "./iterator-definition.ts";

export function jobKey(name: string, jobId: string): LoopKey {
  return { kind: JOB_KIND, name, part: jobId };
}

/** No id of a job has a slash. */
function rangeKeys(name: string, jobId: string, cuts: readonly string[] | null): LoopKey[] {
  if (cuts === null) return [];
  const ranges = cuts.length + 1;
  return Array.from({ length: ranges }, (_, n) => ({
    kind: RANGE_KIND,
    name,
    part: `${jobId}/${n}`,
  }));
}

/** The partitions of a job that are there. */
export async function rangesOf(loops: LoopStorage, job: LoopRow): Promise<LoopRow[]> {
  const { cuts } = stateOf(job);
  if (cuts === null) return [];
  const rows = await loops.get(rangeKeys(job.name, job.part, cuts));
  return rows.filter((row) => row !== null);
}

export function stateOf(row: LoopRow): JobState {
  return JSON.parse(row.state) as JobState;
}

/**
 * What has become of the partitions: `null` while some of them are under way. Makes those that are
 * not there yet, and asks of them what was asked of the job.
 */
export async function joinPartitions(
  chain: JobOwner,
): Promise<{ readonly state: JobState; readonly error: StoredError | null } | null> {
  const { definition, row, jobId, state } = chain;
  const { loops } = definition.storage;
  const keys = rangeKeys(definition.name, jobId, state.cuts);
  const found = await loops.get(keys);
  if (found.includes(null)) {
    await loops.create(keys.map((key, n) => newRange(chain, key, n)));
    definition.wake();
    await follow(loops, row);
    return null;
  }
  const rows = found as LoopRow[];
  const bad = rows.findIndex(({ status }) => status === "failed" || status === "cancelled");
  const joined = joinStates(state, rows.map(stateOf));
  if (bad !== -1) return { state: joined, error: errorOf(rows[bad] as LoopRow, bad) };
  return rows.every(({ status }) => status === "done") ? { state: joined, error: null } : null;
}

function newRange({ definition, row, state }: JobOwner, key: LoopKey, n: number): NewLoop {
  const { settings } = state;
  const cuts = state.cuts ?? [];
  const first = firstState({
    phase: definition.options.coverage ? "census" : "walk",
    settings,
    total: null,
    job: row.id,
    from: cuts[n - 1] ?? null,
    to: cuts[n] ?? null,
  });
  return { ...key, state: JSON.stringify(first), cursor: null, runInMs: 0 };
}

/** The job may have been paused, or cancelled, when its partitions were not there yet. */
async function follow(loops: LoopStorage, job: LoopRow): Promise<void> {
  const [now] = await loops.get([job]);
  const event = now?.status === "paused" ? "pause" : "cancel";
  if (now?.status === "active") return;
  await controlRanges(loops, now ?? job, event);
}

/** Asks the same of every partition of a job. */
export async function controlRanges(
  loops: LoopStorage,
  job: LoopRow,
  event: LoopControl,
): Promise<void> {
  const ranges = await rangesOf(loops, job);
  const ids = ranges.map(({ id }) => id);
  if (ids.length > 0) await loops.control(ids, event);
}

/** The job waits for its partitions: one that ended has it look. */
export async function wakeJob({ definition, state }: JobOwner): Promise<void> {
  if (state.job === null) return;
  await definition.storage.loops.control([state.job], "kick");
  definition.wake();
}

/** The job as the sum of its partitions. */
export function joinStates(job: JobState, ranges: readonly JobState[]): JobState {
  const sum = (of: (state: JobState) => number): number =>
    ranges.reduce((total, state) => total + of(state), 0);
  const rates = ranges.map(({ rate }) => rate).filter((rate) => rate !== null);
  return {
    ...job,
    pages: sum(({ pages }) => pages),
    processed: sum(({ processed }) => processed),
    handed: sum(({ handed }) => handed),
    wouldChange: sum(({ wouldChange }) => wouldChange),
    rate: rates.length === 0 ? null : rates.reduce((total, rate) => total + rate, 0),
    waitsFor: ranges.find(({ waitsFor }) => waitsFor !== null)?.waitsFor ?? null,
    sections: ranges.flatMap(({ sections, to }) =>
      sections.map((section) => ({ ...section, to: section.to ?? to })),
    ),
    proof: ranges.map(({ proof }) => proof).reduce(addProofs, NO_PROOF),
  };
}

function addProofs(one: Proof, other: Proof): Proof {
  const keys = Object.keys(one) as (keyof Proof)[];
  return Object.fromEntries(keys.map((key) => [key, one[key] + other[key]])) as unknown as Proof;
}

function errorOf({ error }: LoopRow, n: number): StoredError {
  const reason = error === null ? "it was cancelled" : error.message;
  return storedError(new BatchworkError("JOB_STATE", `Partition ${n} failed: ${reason}`));
}
