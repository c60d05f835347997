/**
 * The part of the storage port that keeps loops. A *loop* is a resumable state machine with at most
 * one owner at a time: the iterator and the worker are loops. As in `storage.ts`, each method is
 * one transaction and takes arrays, and these comments are the specification.
 *
 * A loop is found by kind, name and part, and written by its numeric id. Its owner is an
 * incarnation, enrolled and renewed as for batches: `reap` releases the loops of the dead, and
 * `retire` those of an incarnation that ended in good order. Each claim makes the token one
 * higher; every write of the owner carries it. Edges between states: `core/loop-transitions.ts`.
 *
 * Processes that use no loops pay nothing: nothing here is read by claims of batches.
 */
import { BatchworkError, type StoredError } from "../core/errors.ts";
import type { LoopMove } from "../core/loop-step.ts";
import type { LoopControl, LoopLease, LoopStatus } from "../core/loop-transitions.ts";
import type { LoopDead } from "./loop-dead.ts";

export interface LoopStorage extends LoopDead {
  /**
   * Makes loops, position by position. One that exists already is left as it is, ended or not:
   * `created` is false.
   */
  create(loops: readonly NewLoop[]): Promise<CreatedLoop[]>;

  /** Reads loops, position by position; `null` where there is none. */
  get(keys: readonly LoopKey[]): Promise<(LoopRow | null)[]>;

  /** Loops of a kind and name, those with the highest ids first. */
  list(query: LoopQuery): Promise<LoopRow[]>;

  /**
   * Deletes loops, with their dead letters and notes, that are in one of these states. Returns the
   * ids of those that are gone now. A token of a deleted loop is lost.
   */
  delete(loops: readonly number[], statuses: readonly LoopStatus[]): Promise<number[]>;

  /**
   * Carries out one event on each loop, where its state has an edge for it; otherwise nothing
   * changes, and `changed` is false.
   *
   * - `pause`: nobody claims it any more. An owner keeps its lease until its next step, which is
   *   still written: nothing is done twice.
   * - `resume`: due now, with all attempts. An owner that is still there goes on: one chain.
   * - `cancel`: for ever, and at once: the owner's token is lost.
   * - `kick`: due now, whatever it waits for. With an owner, right after its current step.
   */
  control(loops: readonly number[], event: LoopControl): Promise<ControlledLoop[]>;

  /**
   * Gives due loops to an incarnation, those that have been due the longest first. Due is what is
   * active or idle, has no owner, and whose time has come; an idle loop is active from here on.
   * Nothing for an incarnation that was declared dead or retired. After a failure the caller does
   * not know what it holds: it calls `releaseStrangers`.
   */
  claim(request: LoopClaim): Promise<ClaimedLoops>;

  /**
   * Writes steps, each on its own: one that is refused does not hold up another. See
   * {@link LoopStep}. The move `idle` is refused here (`OPTION_INVALID`): it takes `transact`.
   */
  advance(steps: readonly LoopStep[]): Promise<StepAnswer[]>;

  /**
   * Runs `request.run` in a transaction with a step: both commit or neither, as `transact` of the
   * port does with a settlement. The token is checked before `run` and again with the step:
   * `LEASE_LOST`, also for a loop that was cancelled or deleted meanwhile. `request.step` is asked
   * after `run`; `null` writes nothing but what `run` wrote. After a failed commit the step is read
   * before the error is passed on, so a commit that did happen resolves.
   *
   * With `confirm`, `run` sees everything that was committed with a ping to which the loop was
   * awake; where such a transaction is still open, nothing runs, and the answer is `null`. Only
   * after that may the step be `idle`; it is written as `active`, due now, when there was a ping
   * since. So no ping is ever lost.
   */
  transact<R>(request: LoopTransact<R>): Promise<LoopTransacted<R> | null>;

  /**
   * Wakes idle loops, position by position: due in `runInMs`. Only reads when the loop is awake.
   */
  ping(pings: readonly LoopPing[]): Promise<PingAnswer[]>;

  /**
   * The same, synchronously, inside a transaction that the caller holds open on `tx`: for what the
   * transaction commits, and only when it does. Throws as `appendInside` of the port.
   */
  pingInside(tx: unknown, pings: readonly LoopPing[]): PingAnswer[];

  /** The same, asynchronously. Holds up nobody while the caller's transaction stays open. */
  pingWithin(tx: unknown, pings: readonly LoopPing[]): Promise<PingAnswer[]>;

  /** Notes of a loop's steps, those with the lowest numbers first. */
  notes(query: NoteQuery): Promise<LoopNote[]>;

  /** Gives loops back as they are, under their tokens: due as before, and nothing counts. */
  release(leases: readonly LoopLease[]): Promise<void>;

  /**
   * Releases the loops stored for `incarnation` that are not among `known`; returns the known ones
   * that are not stored.
   */
  releaseStrangers(incarnation: number, known: readonly LoopLease[]): Promise<LoopLease[]>;
}

/** What a storage with loops has. */
export interface Looping {
  readonly loops: LoopStorage;
}

/** What a loop is found by; unique. */
export interface LoopKey {
  /** Which primitive it belongs to: `"iterator"`, `"worker"`, or a helper loop of one. */
  readonly kind: string;
  /** The definition's name. */
  readonly name: string;
  /** One loop of that definition: the id of a job, a partition; `""` where there is one only. */
  readonly part: string;
}

export interface NewLoop extends LoopKey {
  /** Kept for the owner as it is. */
  readonly state: string;
  readonly cursor: string | null;
  /** First run, ms from now. */
  readonly runInMs: number;
}

export interface LoopRow extends LoopKey {
  readonly id: number;
  readonly token: number;
  readonly status: LoopStatus;
  /** The incarnation that runs it now. */
  readonly owner: number | null;
  /** When it runs next, storage time; `null` for not before a ping, or never. */
  readonly runAt: number | null;
  /** Steps written so far. */
  readonly step: number;
  readonly cursor: string | null;
  readonly state: string;
  /** Attempts at the current step that failed. */
  readonly attempt: number;
  /** Owners in a row that died without writing a step. */
  readonly crashes: number;
  /** What the last attempt failed with; `null` when it did not. */
  readonly error: StoredError | null;
  readonly createdAt: number;
  readonly updatedAt: number;
}

export interface CreatedLoop {
  readonly loop: LoopRow;
  readonly created: boolean;
}

export interface LoopQuery {
  readonly kind: string;
  readonly name: string;
  /** Only loops in one of these states; `null` for all. */
  readonly statuses: readonly LoopStatus[] | null;
  /** Only ids below this one. */
  readonly before: number | null;
  readonly limit: number;
}

export interface NoteQuery {
  readonly loop: number;
  /** Only of steps above this one. */
  readonly after: number;
  readonly limit: number;
}

export interface LoopNote {
  readonly step: number;
  readonly note: string;
}

export interface ControlledLoop {
  readonly changed: boolean;
  /** As it is afterwards; `null` when there is no such loop. */
  readonly loop: LoopRow | null;
}

export interface LoopClaim {
  readonly incarnation: number;
  readonly takes: readonly LoopTake[];
}

/** How many loops of one definition the claim may take. 0 only asks when to look again. */
export interface LoopTake {
  readonly kind: string;
  readonly name: string;
  readonly limit: number;
}

export interface ClaimedLoops {
  /** With the new token. */
  readonly claimed: readonly LoopRow[];
  /**
   * Storage time at which something of these definitions may be due that is not now, among those
   * whose limit was not reached; `null` when nothing waits.
   */
  readonly nextAt: number | null;
  /** True when something was due beyond a limit that was reached. */
  readonly more: boolean;
  /** Storage time of the transaction. */
  readonly now: number;
}

/**
 * One step of an owner. Written when the token is the current one and `step` is one more than the
 * stored one, so no state is ever replaced by an older one. The same step written again, which is
 * how a caller retries after a lost reply, changes nothing and is `"written"` as well.
 */
export interface LoopStep extends LoopLease {
  readonly step: number;
  readonly cursor: string | null;
  readonly state: string;
  readonly attempt: number;
  readonly error: StoredError | null;
  readonly move: LoopMove;
  /** Dead letters that come about with this step. */
  readonly bury?: readonly NewLoopLetter[];
  /** Dead letters that are gone with this step. */
  readonly revive?: readonly number[];
  /** Kept beside the loop until it is deleted, one a step. */
  readonly note?: string;
}

export interface StepAnswer {
  /** `"lost"`: the token is no longer current, or the step is not the next. Nothing changed. */
  readonly result: "written" | "lost";
  /** The state after it; `null` when the loop was deleted. A paused loop has no owner any more. */
  readonly status: LoopStatus | null;
  /** When it runs next, storage time. Sooner than asked for when it was kicked. */
  readonly runAt: number | null;
  /** True while the caller owns it. */
  readonly owned: boolean;
}

export interface LoopTransact<R> {
  readonly lease: LoopLease;
  readonly confirm: boolean;
  /** True when it begins something new: a paused loop counts as lost then. Default false. */
  readonly fresh?: boolean;
  /** As in `Transact` of the port: `tx` is revoked afterwards. */
  readonly run: (tx: never) => R | PromiseLike<R>;
  readonly step: () => LoopStep | null;
}

export interface LoopTransacted<R> {
  readonly result: R;
  /** Of the step; `null` when there was none. */
  readonly answer: StepAnswer | null;
}

export interface LoopPing {
  readonly loop: number;
  readonly runInMs: number;
}

/**
 * `"woken"`: it was idle, and is due. `"awake"`: it will look by itself. `"paused"`: it looks once
 * it is resumed. `"ended"`: it is done, failed, cancelled or deleted.
 */
export type PingAnswer = "woken" | "awake" | "paused" | "ended";

/** An item, or a part of work, that a loop gives up. */
export interface NewLoopLetter {
  /** As the owner encoded it. */
  readonly item: string;
  readonly error: StoredError;
  /** Attempts that failed. */
  readonly attempts: number;
}

/** A loop becomes idle in a transaction that looked for work. @throws `OPTION_INVALID` */
export function refuseIdle(steps: readonly LoopStep[]): void {
  if (steps.every(({ move }) => move.to !== "idle")) return;
  const message = "A loop becomes idle in a transaction that looked for work: use transact.";
  throw new BatchworkError("OPTION_INVALID", message, { field: "move", value: "idle" });
}

/** What an owner is told whose loop is not its own any more. */
export function loopLost({ loop, token }: LoopLease): BatchworkError {
  const message = `Loop ${loop} is no longer owned under token ${token}: nothing was written.`;
  return new BatchworkError("LEASE_LOST", message, { field: "token", value: token });
}
