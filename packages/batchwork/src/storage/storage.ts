/**
 * The storage port: everything the engine asks of a database. Each method is one transaction and
 * takes arrays; these comments are the specification, and `storageConformance`
 * (`batchwork/testing`) holds every storage to it. Do not implement it elsewhere.
 *
 * Words: a *queue* is one definition (`bw.batch`). A *group* is a value of `groupBy`, `""` without
 * one. A *chunk* is what one commit appended to one group. A *batch* is a fixed list of items of
 * one group. An *incarnation* is one life of one process. Times are storage time (G7), ms.
 *
 * Every method may reject with `STORAGE_FAILED` or `STORAGE_BUSY`. After `STORAGE_BUSY` nothing was
 * written. After `STORAGE_FAILED` the write may or may not have happened; each method says how the
 * caller finds out.
 */
import type { Clock } from "../core/clock.ts";
import type { StoredError } from "../core/errors.ts";
import type { FlushReason } from "../core/flush.ts";
import type { Lease } from "../core/lease.ts";
import type { Member } from "../core/members.ts";
import type { Outcome } from "../core/settle.ts";
import type { Deduplicated } from "./deduplication.ts";
import type { StorageParts } from "./parts.ts";
import type { Limited } from "./pending.ts";
import type { Prepared } from "./preparation.ts";
import type { Throttled } from "./throttling.ts";

export interface Storage extends StorageParts {
  /** `"text"` keeps items as encoded text; `"reference"` keeps the values themselves (memory). */
  readonly payload: "text" | "reference";

  /** True when what was committed survives the end of the process. */
  readonly durable: boolean;

  /**
   * Opens, migrates, verifies the promised durability. Legal twice. Throws `SCHEMA_NEWER`,
   * `NOT_DURABLE` and `STORAGE_MOVED`, with which everything that writes may reject later on too.
   */
  open(env: StorageEnv): Promise<void>;

  /** Closes what `open` opened, and never a handle that the user lent. Legal twice. */
  close(): Promise<void>;

  /**
   * True when another connection may have committed since the last call. Cheap (microseconds): it
   * is called every few ms. Commits of this storage object itself do not count: their callers know.
   * A storage that cannot tell answers false, and has `announce` instead.
   */
  changed(): boolean;

  /**
   * Tells the other processes, through their `env.announced`, that there may be something to do in
   * `ms`, 0 for now. Never fails: who is not told looks once in a while. Several may become one.
   */
  announce?(ms: number): void;

  // ── Queues ─────────────────────────────────────────────────────────────────────────────────────

  /**
   * Makes sure that the queues exist and says what they are, position by position. The same name is
   * the same queue in every process, for ever. Stores `notify` of the definition.
   */
  define(queues: readonly QueueDefinition[]): Promise<QueueInfo[]>;

  /** Pauses or resumes. Survives restarts and holds in every process from the next claim on. */
  setPaused(queues: readonly number[], paused: boolean): Promise<void>;

  // ── Intake ─────────────────────────────────────────────────────────────────────────────────────

  /**
   * Appends chunks: all of them or none. Durable when it resolves. Only inserts; never waits for or
   * touches anything that grows with the backlog. Ids ascend in the order given. A chunk is due
   * `dueInMs` after storage time of the append, and a group is due when any of its chunks is.
   */
  append(chunks: readonly NewChunk[]): Promise<AppendedChunk[]>;

  /**
   * Gives out the id of a chunk that is appended later. Only a storage has it that keeps
   * references: there an item is as safe once the process holds it as it will ever be, so it is
   * acknowledged before its chunk is appended.
   */
  reserve?(): number;

  /**
   * The same, synchronously, inside a transaction that the caller holds open on `tx`: the facade of
   * a running `transact`, or the user's own handle on this database. Throws `TX_MISMATCH` when `tx`
   * is neither or has no open transaction, `TX_UNSUPPORTED` when the storage has none.
   */
  appendInside(tx: unknown, chunks: readonly NewChunk[]): AppendedChunk[];

  /**
   * The same, asynchronously: for storages that cannot write before they return, and legal on all.
   * Holds up nobody while the caller's transaction stays open. Rejects as `appendInside` throws.
   */
  appendWithin(tx: unknown, chunks: readonly NewChunk[]): Promise<AppendedChunk[]>;

  // ── Claim, run, settle ─────────────────────────────────────────────────────────────────────────

  /**
   * Settles finished batches, then claims new ones, in one transaction.
   *
   * Settling: a settlement whose token is the batch's current one on a leased batch is carried out
   * (`"settled"`). A batch that is tried again keeps its crash record; children of a split begin
   * with a clean one, since the handler did end. When this very settlement was carried out before,
   * which is how a caller retries after a lost reply, nothing changes and the answer is `"settled"`
   * as well; at least for `done` batches that are still kept. Otherwise nothing changes: `"lost"`.
   *
   * Claiming, for each queue that is not paused, up to its `limit`: first sealed batches whose next
   * attempt is due, then groups that are due (`core/flush.ts`), sealing one batch each in append
   * order: exactly `maxSize` items where that many wait, never more than `maxSize` or `maxBytes`
   * (but a single item always moves). Each turn goes to the claimable group that has been claimable
   * or unserved the longest, so no group waits behind another's backlog. Never more than
   * `groupConcurrency` leased batches a group, over all processes. Nothing is sealed that is not
   * claimed at once. A suspect (`core/lease.ts`) is claimed only when `alone` is true, then before
   * anything else, and nothing is claimed beside it.
   *
   * An incarnation that was declared dead, or retired, writes nothing: every settlement is `"lost"`
   * and nothing is claimed, but the exchange resolves.
   *
   * After a failure the caller does not know which leases it holds: it calls `reconcile`.
   */
  exchange(request: Exchange): Promise<Exchanged>;

  /** Notes how far a leased batch is, under its token. Resolves false when the lease is lost. */
  progress(lease: Lease, percent: number, note: string): Promise<boolean>;

  /**
   * Runs `request.run` inside a transaction with the settling of the batch: both commit or neither.
   * Checks the token first (`LEASE_LOST`); waits asynchronously for the write lock and while the
   * user's handle is in a transaction of its own. `run` is synchronous on SQLite: a thenable result
   * rolls back with `TX_ASYNC`; on PostgreSQL it is awaited, and no lock is held meanwhile, so the
   * token is checked again at the end. `request.outcome` is asked after `run`. When `run` throws,
   * everything is rolled back and the error is passed on. After a failed commit the token is read
   * before the error is passed on, so a commit that did happen resolves.
   */
  transact<R>(request: Transact<R>): Promise<R>;

  // ── Leases ─────────────────────────────────────────────────────────────────────────────────────

  /** Starts an incarnation that expires after `leaseMs` unless renewed. Ids are never reused. */
  enroll(leaseMs: number): Promise<number>;

  /** Renews all leases of the incarnation. False when it is dead: its leases are gone. */
  heartbeat(incarnation: number, leaseMs: number): Promise<boolean>;

  /**
   * Declares expired incarnations dead by compare-and-set on their expiry, then releases their
   * batches as suspects (`afterCrash`); a batch that `isDeadly` is finished with all its items dead
   * (`CRASHED`). Also does bounded housekeeping: forgets old `done` batches and empty groups.
   */
  reap(maxCrashes: number): Promise<Reaped>;

  /**
   * The process was only slow: nothing that the reaper held against `incarnation` counts
   * (`afterRevival`), for batches not claimed since or still waiting.
   */
  absolve(incarnation: number): Promise<void>;

  /**
   * Compares the leases the process knows with those stored for `incarnation`. Stored but unknown
   * ones are released without counting anything; known but not stored ones are returned.
   */
  reconcile(incarnation: number, known: readonly Lease[]): Promise<Lease[]>;

  /**
   * Gives batches back unfinished, under their tokens: nothing counts. Superseded tokens have no
   * effect.
   */
  release(leases: readonly Lease[]): Promise<void>;

  /** Ends the incarnation in good order and releases whatever it still holds; nothing counts. */
  retire(incarnation: number): Promise<void>;

  // ── flush, drain, status ───────────────────────────────────────────────────────────────────────

  /**
   * Makes every waiting item of the queue, or of one group, due now. Returns a mark that stands for
   * all that was appended before. Makes nothing due when `paused` items could not run: it still
   * returns the mark.
   */
  makeDue(queue: number, group: string | null): Promise<number>;

  /**
   * How many batches or waiting groups from before `mark` are left. `"attempted"`: whose first
   * attempt has not ended. `"finished"`: with items neither done nor dead.
   */
  outstanding(query: Outstanding): Promise<number>;

  /** Counts of a queue, or of one group of it. */
  counts(queue: number, group: string | null): Promise<QueueCounts>;

  /** The batches of a queue that are leased now, oldest first, at most 1,000. */
  running(queue: number): Promise<RunningBatch[]>;

  // ── Dead letters ───────────────────────────────────────────────────────────────────────────────

  /** Dead letters of a queue, oldest first, from after the id `after`. */
  deadLetters(query: DeadQuery): Promise<DeadRow[]>;

  /** Puts dead items back as new chunks, due at once, with all attempts. Returns how many. */
  redrive(queue: number, ids: readonly number[] | "all"): Promise<number>;

  /** Deletes dead letters. Returns how many. */
  discard(queue: number, ids: readonly number[] | "all"): Promise<number>;

  /**
   * Takes dead letters nobody has been told of yet, of one of these queues that has any and was
   * defined with `notify`: oldest first, whole batches, at least `limit` where there are so many.
   * Taken again after `retryMs` unless `acknowledgeDead` came first: `onDead` runs at least once.
   */
  takeUnnotified(queues: readonly number[], limit: number, retryMs: number): Promise<DeadRow[]>;

  /** Notes that `onDead` ran for these. */
  acknowledgeDead(ids: readonly number[]): Promise<void>;
}

/** What a storage is given when it is opened. */
export interface StorageEnv {
  readonly clock: Clock;
  /** Called when another process announced something. */
  readonly announced?: (ms: number) => void;
  /** Called when something is wrong that the storage can do without. */
  readonly warn?: (message: string, fields: Record<string, unknown>) => void;
}

export interface QueueDefinition {
  readonly name: string;
  /** True when dead letters of this queue are to be handed to `onDead`. */
  readonly notify: boolean;
}

export interface QueueInfo {
  readonly id: number;
  readonly paused: boolean;
}

/** Encoded items as text (see `core/codec.ts`), or the values themselves. */
export type Payload = string | readonly unknown[];

export interface NewChunk extends Deduplicated, Limited {
  /** As `reserve` gave it out; without it, the next one. */
  readonly id?: number;
  readonly queue: number;
  readonly group: string;
  /** At least 1. */
  readonly count: number;
  /** Bytes of the items in UTF-8; 0 where a `reference` storage does not measure. */
  readonly bytes: number;
  readonly payload: Payload;
  readonly dueInMs: number;
}

export interface AppendedChunk {
  readonly id: number;
  readonly dueAt: number;
}

export interface Exchange {
  /** Owner of what is claimed. */
  readonly incarnation: number;
  readonly settlements: readonly Settlement[];
  readonly claims: readonly QueueClaim[];
  /** True when the process runs nothing at all, so a suspect may be handed to it. */
  readonly alone: boolean;
}

/** The end of one attempt. */
export interface Settlement extends Lease {
  readonly outcome: Outcome;
}

export interface QueueClaim extends Throttled {
  readonly queue: number;
  readonly maxSize: number;
  /** `Infinity` for no cap. */
  readonly maxBytes: number;
  /** `Infinity` for no cap. */
  readonly groupConcurrency: number;
  /** Most batches to claim. 0 only asks when to look again. */
  readonly limit: number;
}

export interface Exchanged {
  /** Position by position. */
  readonly settled: readonly ("settled" | "lost")[];
  readonly claimed: readonly ClaimedBatch[];
  /**
   * Storage time at which there may be something to claim that is not claimable now, among the
   * queues whose `limit` was not reached (the others are asked again when a slot is free); `null`
   * when nothing waits. Early is allowed, late is not.
   */
  readonly nextAt: number | null;
  /** True when something was claimable beyond a `limit` that was reached. */
  readonly more: boolean;
  /**
   * True when a suspect of these queues waits for a process that runs nothing, whatever the
   * `limit`; not one that a pause, its delay or its group's limit would hold back even so.
   */
  readonly suspectWaiting: boolean;
  /** Storage time of the transaction. */
  readonly now: number;
}

export interface ClaimedBatch extends Lease, Prepared {
  readonly queue: number;
  readonly group: string;
  /** The first attempt is 1. */
  readonly attempt: number;
  readonly count: number;
  readonly bytes: number;
  readonly members: readonly Member[];
  /** One payload per member: just the items that the member names, in order. */
  readonly payloads: readonly Payload[];
  readonly reason: FlushReason;
  readonly parentId: number | null;
  /** The batch that first held the items; its own id when it has no parent. */
  readonly rootId: number;
  readonly sealedAt: number;
  /** True when it is a suspect, and nothing may run beside it. */
  readonly alone: boolean;
  /** Items of the group that wait unsealed after this claim. */
  readonly left: number;
}

export interface Transact<R> {
  readonly lease: Lease;
  /** Runs inside the transaction. `tx` is revoked afterwards: further use throws `TX_OVER`. */
  readonly run: (tx: never) => R | PromiseLike<R>;
  readonly outcome: () => Outcome;
}

export interface Reaped {
  /** Incarnations declared dead. */
  readonly incarnations: readonly number[];
  /** Batches that wait for another process now. */
  readonly released: number;
  /** Items that became dead letters. */
  readonly dead: number;
  /** Time until the next lease of anybody runs out, ms; `null` when there is none. */
  readonly nextInMs: number | null;
}

export interface Outstanding {
  readonly queue: number;
  readonly group: string | null;
  readonly mark: number;
  readonly until: "attempted" | "finished";
}

export interface QueueCounts {
  readonly paused: boolean;
  /** Items accepted and not yet handed to a handler. */
  readonly waiting: number;
  /** Groups with such items. */
  readonly groups: number;
  /** Batches that wait for another attempt. */
  readonly retrying: number;
  /** Batches that are leased. */
  readonly leased: number;
  /** Dead letters. */
  readonly dead: number;
  /**
   * When the oldest waiting item is due, storage time, or earlier where a younger one is due before
   * it; `null` when none waits.
   */
  readonly dueAt: number | null;
}

export interface RunningBatch extends Lease {
  readonly group: string;
  readonly count: number;
  readonly attempt: number;
  readonly incarnation: number;
  readonly claimedAt: number;
  readonly percent: number | null;
  readonly note: string | null;
}

export interface DeadQuery {
  readonly queue: number;
  readonly group: string | null;
  /** Only ids above this one. */
  readonly after: number;
  readonly limit: number;
}

export interface DeadRow {
  readonly id: number;
  readonly queue: number;
  readonly group: string;
  /** The id that `add` returned. */
  readonly itemId: string;
  /** The item, one item long. */
  readonly payload: Payload;
  readonly error: StoredError;
  /** Attempts that failed. */
  readonly attempts: number;
  readonly crashes: number;
  readonly batch: number;
  readonly rootId: number;
  readonly diedAt: number;
}
