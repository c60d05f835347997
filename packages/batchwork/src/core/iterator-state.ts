/** Where a job of an iterator stands, and what a page makes of it. Pure. */
import { adaptedSize } from "./adaptive-size.ts";
import type { KeyTally, Section } from "./coverage.ts";
import type { ResolvedJobSettings } from "./iterator-options.ts";
import { retryDelayMs } from "./retry.ts";

/**
 * What a job does now.
 *
 * - `census`: notes which keys there are.
 * - `walk`: reads pages and has them processed.
 * - `verify`: compares what was visited with the table, and takes up what was not.
 * - `join`: waits for its partitions; only of a job that has some.
 * - `settle`: waits for items that are retried apart.
 * - `complete`: calls `onComplete`.
 */
export type JobPhase = "census" | "walk" | "verify" | "join" | "settle" | "complete";

/** What the proof found so far. */
export interface Proof {
  readonly atStart: number;
  readonly visited: number;
  readonly repeated: number;
  readonly missed: number;
  readonly late: number;
  readonly atEnd: number;
  /** Sections whose keys were the same at the start, on the walk and at the end. */
  readonly unchanged: number;
}

export const NO_PROOF: Proof = Object.freeze({
  atStart: 0,
  visited: 0,
  repeated: 0,
  missed: 0,
  late: 0,
  atEnd: 0,
  unchanged: 0,
});

/** Kept as JSON in the state of the loop; its cursor is beside it. */
export interface JobState {
  readonly v: 1;
  readonly phase: JobPhase;
  readonly settings: ResolvedJobSettings;
  /** The id of the job's own loop, for a partition; `null` for that loop itself. */
  readonly job: number | null;
  /** The range of keys, where it has one. */
  readonly from: string | null;
  readonly to: string | null;
  /** Where the partitions end, of a job that has some; `null` for others. */
  readonly cuts: readonly string[] | null;
  readonly pages: number;
  /** Items of pages that were processed, also those that are retried apart. */
  readonly processed: number;
  /** Items that were handed over to be retried apart. */
  readonly handed: number;
  /** Pages of one item in a row that were handed over: something else is wrong, perhaps. */
  readonly handedInRow: number;
  /** Most items of the next page; `null` for `batchSize`. */
  readonly size: number | null;
  /** The next so many items have failed together; `null` when nothing is known of them. */
  readonly window: number | null;
  /** Items a second, over the last pages. */
  readonly rate: number | null;
  /** When the last page was written, wall time in ms; `null` before the first. */
  readonly writtenAt: number | null;
  readonly total: number | null;
  /** Why it waits, in the words of the health check. */
  readonly waitsFor: string | null;
  /** Rows that a dry run would have changed. */
  readonly wouldChange: number;
  readonly sections: readonly Section[];
  /** The section that the walk, or the proof, is in. */
  readonly section: number;
  /** Keys of the section that are there at its end. */
  readonly atEnd: KeyTally | null;
  readonly proof: Proof;
}

export interface FirstState {
  readonly phase: JobPhase;
  readonly settings: ResolvedJobSettings;
  readonly total: number | null;
  readonly job?: number | null;
  readonly from?: string | null;
  readonly to?: string | null;
  readonly cuts?: readonly string[] | null;
}

export function firstState(given: FirstState): JobState {
  return {
    v: 1,
    job: null,
    from: null,
    to: null,
    cuts: null,
    pages: 0,
    processed: 0,
    handed: 0,
    handedInRow: 0,
    size: null,
    window: null,
    rate: null,
    writtenAt: null,
    waitsFor: null,
    wouldChange: 0,
    sections: [],
    section: 0,
    atEnd: null,
    proof: NO_PROOF,
    ...given,
  };
}

/** What bounds the size of pages. */
export interface PageLimits {
  readonly batchSize: number;
  readonly minBatchSize: number;
  readonly targetMs: number | undefined;
}

/** How many items the next page may have. */
export function pageSize({ settings, size, window }: JobState, limits: PageLimits): number {
  const most = settings.batchSize ?? limits.batchSize;
  const adapted = limits.targetMs === undefined ? most : (size ?? limits.minBatchSize);
  // Half of the items that failed together: the bad one is in it, or in the other half.
  const suspected = window === null ? most : Math.ceil(window / 2);
  return Math.max(1, Math.min(most, adapted, suspected));
}

/** How a page went. */
export interface PageEnd {
  readonly count: number;
  readonly durationMs: number;
  /** Wall time, ms. */
  readonly now: number;
  /** Wait between pages that is asked for, ms. */
  readonly delayMs: number;
  /** Items that are retried apart. */
  readonly failed: number;
  readonly wouldChange: number;
}

/** A longer gap between pages was a pause, or a clock that was set, and says nothing, ms. */
const GAP_MAX_MS = 60_000;

/** The newest page counts this much of the rate: it follows within a few pages. */
const RATE_WEIGHT = 0.2;

/** The state after a page that moved the cursor. */
export function afterPage(state: JobState, limits: PageLimits, end: PageEnd): JobState {
  const { count, failed, now } = end;
  const window = state.window === null || state.window <= count ? null : state.window - count;
  const alone = count === 1 && failed === 1;
  return {
    ...state,
    pages: state.pages + 1,
    processed: state.processed + count,
    handed: state.handed + failed,
    handedInRow: alone ? state.handedInRow + 1 : 0,
    // Behind a bad item there may be anything.
    window: alone ? null : window,
    size: adapted(state, limits, { ...end, succeeded: !alone, timedOut: false }),
    rate: rateAfter(state, end),
    writtenAt: now,
    waitsFor: null,
    wouldChange: state.wouldChange + end.wouldChange,
  };
}

function rateAfter({ rate, writtenAt }: JobState, end: PageEnd): number | null {
  const { count, now, durationMs, delayMs } = end;
  const gapMs = writtenAt === null ? durationMs + delayMs : now - writtenAt;
  if (gapMs <= 0 || gapMs > GAP_MAX_MS + delayMs + durationMs) return rate;
  const latest = (count * 1000) / gapMs;
  return rate === null ? latest : rate + (latest - rate) * RATE_WEIGHT;
}

/** The state after a page that failed as a whole. With `bisect` its items are looked at closer. */
export function afterFailure(
  state: JobState,
  limits: PageLimits,
  end: { readonly count: number; readonly durationMs: number; readonly timedOut: boolean },
  bisect: boolean,
): JobState {
  const size = adapted(state, limits, { ...end, succeeded: false });
  return { ...state, size, window: bisect ? end.count : state.window, waitsFor: null };
}

interface Measured {
  readonly count: number;
  readonly durationMs: number;
  readonly succeeded: boolean;
  readonly timedOut: boolean;
}

function adapted(state: JobState, limits: PageLimits, measured: Measured): number | null {
  const { targetMs: durationMs, minBatchSize: minSize, batchSize } = limits;
  if (durationMs === undefined) return null;
  const maxSize = state.settings.batchSize ?? batchSize;
  const size = Math.min(maxSize, state.size ?? minSize);
  return adaptedSize(size, { durationMs, minSize, maxSize }, measured);
}

const BACKOFF = {
  max: Number.POSITIVE_INFINITY,
  strategy: "exponential",
  baseDelay: 1000,
  maxDelay: 30_000,
  jitter: 0,
} as const;

/** Wait after the `attempt`th failure in a row, ms: 1 s, 2 s, 4 s … up to 30 s. */
export function backoffMs(attempt: number): number {
  return retryDelayMs(BACKOFF, attempt, 0);
}

/** Bad items that may come one after the other before each has the job wait. */
const IN_ROW_MAX = 3;

/**
 * Wait before the page after one whose item was handed over, ms. When nothing but bad items comes
 * along, the fault may be elsewhere, and there is no hurry to hand over the rest.
 */
export function patienceMs({ handedInRow }: JobState): number {
  return handedInRow <= IN_ROW_MAX ? 0 : backoffMs(handedInRow - IN_ROW_MAX);
}
