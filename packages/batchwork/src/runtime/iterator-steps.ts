/** What the parts of an iterator know of the owner of a job: what it changes, step by step. */
import type { StoredError } from "../core/errors.ts";
import type { JobState } from "../core/iterator-state.ts";
import type { LoopMove } from "../core/loop-step.ts";
import type { LoopLease } from "../core/loop-transitions.ts";
import type { LoopRow, LoopStep, StepAnswer } from "../storage/loops.ts";
import type { IteratorDefinition } from "./iterator-definition.ts";
import type { Page } from "./iterator-source.ts";

/** What a step changes; the rest stays as it is. */
export interface Change {
  readonly state: JobState;
  readonly move: LoopMove;
  readonly cursor?: string | null;
  readonly attempt?: number;
  readonly error?: StoredError | null;
  readonly note?: string;
}

/** Goes on at once. */
export const ON: LoopMove = { to: "active", runInMs: 0, keep: true };

export function later(runInMs: number): LoopMove {
  return { to: "active", runInMs, keep: runInMs === 0 };
}

/** A page, and where the job stands when it is done. */
export interface Reading {
  readonly page: Page;
  /** The state behind it, but for what `afterPage` counts; its note, where it has one. */
  readonly behind: (state: JobState, step: number) => { state: JobState; note?: string };
  /** True when nothing of this phase is left. */
  readonly last: boolean;
}

/** One owner's way through a job; see `iterator-chain.ts`. */
export interface JobOwner {
  readonly definition: IteratorDefinition;
  readonly row: LoopRow;
  readonly lease: LoopLease;
  readonly jobId: string;
  readonly state: JobState;
  readonly cursor: string | null;
  /** Steps written so far. */
  readonly step: number;
  /** The step that a change makes. */
  stepOf(change: Change): LoopStep;
  /** What is written once a page is processed. */
  passed(reading: Reading, failed: number, startedAt: number, wouldChange: number): Change;
  /** Writes a step, for as long as it takes. */
  write(change: Change): Promise<void>;
  /** A step is written, or refused. */
  took(change: Change, step: LoopStep, answer: StepAnswer): void;
  /** Somebody else has it, or it was cancelled. */
  lost(): void;
  /** An attempt at `onComplete` failed: it is called again, however often. */
  failedToComplete(error: unknown): Promise<void>;
}
