/** What a worker's loop keeps between its looks: counts, and what failed and waits. */
import { maxAttempts, retryDelayMs, type RetryPolicy } from "./retry.ts";

/** Why a worker does not look right now. */
export type WorkerWait = "debounce" | "backoff" | "timeout" | "ping";

/** An item, or a batch that is not an array, that failed and is tried again. */
export interface Failing {
  /** As it is encoded: that is how it is known again. */
  readonly text: string;
  /** Attempts that failed. */
  readonly attempts: number;
  /** When it may be tried again, storage time. */
  readonly dueAt: number;
}

/** What an owner tried when it died. */
export interface Trying {
  /** Most items that are tried at a time until it went well. */
  readonly limit: number;
  /** What was tried last; none where nothing was yet. */
  readonly texts: readonly string[];
  /** Owners that died over the one item that was tried. */
  readonly deaths: number;
}

export interface WorkerState {
  /** The options that decide what the loop does, as text, of the owner that wrote this. */
  readonly definition: string;
  /** Batches that `process` was through with, and items in them. */
  readonly batches: number;
  readonly items: number;
  /** Calls of `query` or `process` that threw. */
  readonly failures: number;
  readonly waits: WorkerWait | null;
  /** True when the last batch was not an array, so that letters are whole batches. */
  readonly whole: boolean;
  readonly failing: readonly Failing[];
  /** `null` unless an owner died. */
  readonly trying: Trying | null;
}

/** No more than that are remembered; then the loop waits for the first of them. */
export const FAILING_MAX = 100;

export function newWorkerState(definition: string): WorkerState {
  return {
    definition,
    batches: 0,
    items: 0,
    failures: 0,
    waits: null,
    whole: false,
    failing: [],
    trying: null,
  };
}

/** The state after `process` was through with so many items, with these among them. */
export function afterProcessed(
  state: WorkerState,
  count: number,
  texts: readonly string[],
): WorkerState {
  const through = new Set(texts);
  return {
    ...state,
    batches: state.batches + 1,
    items: state.items + count,
    waits: null,
    failing: state.failing.filter(({ text }) => !through.has(text)),
    trying: afterTried(state.trying, count),
  };
}

/** What failed alone: when it is tried again, or that it is not (`attempts` failed then). */
export interface FailedAlone {
  readonly state: WorkerState;
  readonly attempts: number;
  readonly dead: boolean;
}

/** The state after an item failed by itself. `random` is in [0, 1). */
export function afterFailure(
  state: WorkerState,
  text: string,
  policy: RetryPolicy,
  now: number,
  random: number,
): FailedAlone {
  const before = state.failing.find((one) => one.text === text);
  const attempts = (before?.attempts ?? 0) + 1;
  const others = state.failing.filter((one) => one !== before);
  const dead = attempts >= maxAttempts(policy);
  const dueAt = now + retryDelayMs(policy, attempts, random);
  const failing = dead ? others : [...others, { text, attempts, dueAt }];
  return { state: { ...state, failing }, attempts, dead };
}

/** What is not to be tried yet. */
export function notYet(state: WorkerState, now: number): readonly string[] {
  return state.failing.filter(({ dueAt }) => dueAt > now).map(({ text }) => text);
}

/** How long until something that failed may be tried again, ms; `null` when nothing waits. */
export function untilRetry(state: WorkerState, now: number): number | null {
  let next: number | null = null;
  for (const { dueAt } of state.failing) next = next === null ? dueAt : Math.min(next, dueAt);
  return next === null ? null : Math.max(0, next - now);
}

/** The state of a loop whose owner died, and whether the one item that it tried did that. */
export function afterDeath(
  state: WorkerState,
  maxCrashes: number,
): { readonly state: WorkerState; readonly deadly: string | null } {
  const { trying } = state;
  if (trying === null || trying.texts.length === 0) {
    // Nobody knows yet over what: from here on it is written down first.
    const limit = trying?.limit ?? Number.MAX_SAFE_INTEGER;
    return { state: { ...state, trying: { limit, texts: [], deaths: 0 } }, deadly: null };
  }
  const [first] = trying.texts;
  if (trying.texts.length > 1 || first === undefined) {
    const limit = Math.ceil(trying.texts.length / 2);
    return { state: { ...state, trying: { limit, texts: [], deaths: 0 } }, deadly: null };
  }
  const deaths = trying.deaths + 1;
  return {
    state: { ...state, trying: { limit: 1, texts: trying.texts, deaths } },
    deadly: deaths >= maxCrashes ? first : null,
  };
}

/** What to write down before these are tried. */
export function beforeTrying(trying: Trying, texts: readonly string[]): Trying {
  const again = texts.length === 1 && trying.texts.length === 1 && trying.texts[0] === texts[0];
  return { limit: trying.limit, texts, deaths: again ? trying.deaths : 0 };
}

/** It went well with this many: twice as many may be tried, and all of them once that many were. */
function afterTried(trying: Trying | null, count: number): Trying | null {
  if (trying === null || trying.limit > count) return null;
  return { limit: trying.limit * 2, texts: [], deaths: 0 };
}
