/** The storage port over {@link MemoryData}: reads the clock and counts commits, no more. */
import { advanceClock, type Clock, type ClockReading } from "../../core/clock.ts";
import { prevails, type SharedDefinition } from "../../core/definition.ts";
import { BatchworkError } from "../../core/errors.ts";
import type { KeyedAnswer, KeyedAppend } from "../../core/keyed.ts";
import type { Lease } from "../../core/lease.ts";
import type { Member } from "../../core/members.ts";
import type { ItemResult } from "../../core/results.ts";
import type { Amount } from "../../core/pending.ts";
import type { Throttle } from "../../core/throttle.ts";
import type { Agreement, Proposal } from "../definitions.ts";
import type { FinishedRow, HistoryQuery } from "../history.ts";
import type { PreparedPart } from "../preparation.ts";
import type { FoundResult } from "../results.ts";
import type {
  AppendedChunk,
  DeadQuery,
  DeadRow,
  Exchange,
  Exchanged,
  NewChunk,
  Outstanding,
  QueueCounts,
  QueueDefinition,
  QueueInfo,
  Reaped,
  RunningBatch,
  Storage,
  StorageEnv,
  Transact,
} from "../storage.ts";
import { appended, commitAppend, prepare, type Prepared } from "./append.ts";
import { StagedKeys } from "./append-keyed.ts";
import type { MemoryData } from "./data.ts";
import { discard, redrive } from "./dead.ts";
import { exchange } from "./exchange.ts";
import * as leases from "./leases.ts";
import { MemoryLoops } from "./loop-storage.ts";
import { MemoryPools } from "./pools.ts";
import { prepareBatch } from "./preparation.ts";
import { findResults } from "./results.ts";
import { replay } from "./retention.ts";
import * as status from "./status.ts";
import { appendInside, appendKeyedInside, transact } from "./transact.ts";

/**
 * A storage that forgets everything with the process. Every method takes effect when it is called,
 * not when its promise is awaited.
 */
export class MemoryStorage implements Storage {
  readonly payload: "text" | "reference";
  readonly durable = false;
  readonly loops: MemoryLoops;
  readonly pools: MemoryPools;
  readonly #data: MemoryData;
  #clock: Clock | null = null;
  #reading: ClockReading = { at: 0, monotonicMs: 0 };
  #ownCommits = 0;
  /** Commits of other views at the last look. */
  #seen = 0;

  constructor(data: MemoryData) {
    this.payload = data.payload;
    this.#data = data;
    this.#seen = data.commits;
    this.loops = new MemoryLoops(
      data,
      () => this.#now(),
      () => this.#commit(),
    );
    this.pools = new MemoryPools({
      scene: () => ({ data, now: this.#now() }),
      commit: () => this.#commit(),
    });
  }

  /** Another storage on the same data, as a second process has; opened and closed by itself. */
  view(): MemoryStorage {
    return new MemoryStorage(this.#data);
  }

  async open({ clock }: StorageEnv): Promise<void> {
    if (this.#clock === null) this.#reading = { at: 0, monotonicMs: clock.monotonicMs() };
    this.#clock = clock;
  }

  /** The data stay: a view that opens later finds them. */
  async close(): Promise<void> {
    this.#clock = null;
  }

  changed(): boolean {
    const others = this.#data.commits - this.#ownCommits;
    const changed = others !== this.#seen;
    this.#seen = others;
    return changed;
  }

  async define(queues: readonly QueueDefinition[]): Promise<QueueInfo[]> {
    this.#commit();
    return queues.map(({ name, notify }) => {
      const queue = this.#data.define(name);
      queue.notify = notify;
      return { id: queue.id, paused: queue.paused };
    });
  }

  async setPaused(queues: readonly number[], paused: boolean): Promise<void> {
    const found = queues.map((id) => this.#data.queue(id));
    this.#commit();
    for (const queue of found) queue.paused = paused;
  }

  async append(chunks: readonly NewChunk[]): Promise<AppendedChunk[]> {
    const now = this.#now();
    const prepared = prepare(this.#data, chunks, now);
    this.#commit();
    commitAppend(prepared, now);
    return appended(prepared);
  }

  reserve(): number {
    return ++this.#data.lastChunk;
  }

  appendInside(tx: unknown, chunks: readonly NewChunk[]): AppendedChunk[] {
    return appendInside(this.#data, tx, chunks);
  }

  async appendWithin(tx: unknown, chunks: readonly NewChunk[]): Promise<AppendedChunk[]> {
    return this.appendInside(tx, chunks);
  }

  async appendKeyed(append: KeyedAppend): Promise<KeyedAnswer[]> {
    const now = this.#now();
    const prepared: Prepared[] = [];
    const keys = new StagedKeys(this.#data, now);
    const answers = keys.append(append, prepared);
    if (prepared.length > 0) this.#commit();
    keys.commit();
    commitAppend(prepared, now);
    return answers;
  }

  appendKeyedInside(tx: unknown, append: KeyedAppend): KeyedAnswer[] {
    return appendKeyedInside(this.#data, tx, append);
  }

  async appendKeyedWithin(tx: unknown, append: KeyedAppend): Promise<KeyedAnswer[]> {
    return this.appendKeyedInside(tx, append);
  }

  async exchange(request: Exchange): Promise<Exchanged> {
    const exchanged = exchange(this.#data, request, this.#now());
    // A look that found nothing is no commit, or two processes would wake each other for ever.
    if (exchanged.claimed.length > 0 || exchanged.settled.includes("settled")) this.#commit();
    return exchanged;
  }

  async progress(lease: Lease, percent: number, note: string): Promise<boolean> {
    const batch = this.#data.batches.get(lease.batch);
    if (!batch?.isLeasedUnder(lease)) return false;
    this.#commit();
    batch.percent = percent;
    batch.note = note;
    return true;
  }

  async prepare(
    lease: Lease,
    parts: readonly PreparedPart[] | null,
    results: readonly ItemResult[] = [],
  ): Promise<readonly Member[] | null> {
    const members = prepareBatch(this.#data, lease, parts, results, this.#now());
    if (members !== null) this.#commit();
    return members;
  }

  async findResults(queue: number, ids: readonly string[]): Promise<FoundResult[]> {
    return findResults(this.#data, this.#data.queue(queue), ids, this.#now());
  }

  async transact<R>(request: Transact<R>): Promise<R> {
    const result = transact(this.#data, request, this.#now());
    this.#commit();
    return result;
  }

  async enroll(leaseMs: number): Promise<number> {
    return leases.enroll(this.#data, leaseMs, this.#now());
  }

  async heartbeat(incarnation: number, leaseMs: number): Promise<boolean> {
    return leases.heartbeat(this.#data, incarnation, leaseMs, this.#now());
  }

  async reap(maxCrashes: number): Promise<Reaped> {
    const reaped = leases.reap(this.#data, maxCrashes, this.#now());
    if (reaped.incarnations.length > 0) this.#commit();
    return reaped;
  }

  async absolve(incarnation: number): Promise<void> {
    this.#commit();
    leases.absolve(this.#data, incarnation, this.#now());
  }

  async reconcile(incarnation: number, known: readonly Lease[]): Promise<Lease[]> {
    this.#commit();
    return leases.reconcile(this.#data, incarnation, known, this.#now());
  }

  async release(held: readonly Lease[]): Promise<void> {
    this.#commit();
    leases.release(this.#data, held, this.#now());
  }

  async retire(incarnation: number): Promise<void> {
    this.#commit();
    leases.retire(this.#data, incarnation, this.#now());
  }

  async makeDue(queue: number, group: string | null): Promise<number> {
    this.#commit();
    return status.makeDue(this.#data, queue, group, this.#now());
  }

  async outstanding(query: Outstanding): Promise<number> {
    return status.outstanding(this.#data, query);
  }

  async counts(queue: number, group: string | null): Promise<QueueCounts> {
    return status.counts(this.#data, queue, group);
  }

  async throttledUntil(queue: number, throttle: Throttle): Promise<number | null> {
    return this.#data.queue(queue).deliveries.frees(throttle, this.#now());
  }

  async pending(queue: number): Promise<Amount> {
    const { items, bytes } = this.#data.queue(queue).pending;
    return { items, bytes };
  }

  async running(queue: number): Promise<RunningBatch[]> {
    return status.running(this.#data, queue);
  }

  async history(query: HistoryQuery): Promise<FinishedRow[]> {
    return this.#data.queue(query.queue).finished.list(query);
  }

  async replay(queue: number, batch: number): Promise<number | null> {
    const now = this.#now();
    const id = replay(this.#data, this.#data.queue(queue), batch, now);
    if (id !== null) this.#commit();
    return id;
  }

  async propose(proposals: readonly Proposal[]): Promise<Agreement[]> {
    this.#commit();
    return proposals.map(({ queue: id, version, settings }) => {
      const queue = this.#data.queue(id);
      const { definition: before } = queue;
      const proposed = { version, settings };
      const stored = before === null || prevails(proposed, before) ? proposed : before;
      queue.definition = stored;
      queue.finished.retention = stored.settings.completed;
      return { stored, before };
    });
  }

  async agreed(queues: readonly number[]): Promise<(SharedDefinition | null)[]> {
    return queues.map((id) => this.#data.queue(id).definition);
  }

  async deadLetters(query: DeadQuery): Promise<DeadRow[]> {
    return this.#data.queue(query.queue).dead.list(query);
  }

  async redrive(queue: number, ids: readonly number[] | "all"): Promise<number> {
    const now = this.#now();
    this.#commit();
    return redrive(this.#data, this.#data.queue(queue), ids, now);
  }

  async discard(queue: number, ids: readonly number[] | "all"): Promise<number> {
    const now = this.#now();
    this.#commit();
    return discard(this.#data.queue(queue), ids, now);
  }

  async takeUnnotified(
    queues: readonly number[],
    limit: number,
    retryMs: number,
  ): Promise<DeadRow[]> {
    for (const queue of queues) {
      const { notify, dead } = this.#data.queue(queue);
      const rows = notify ? dead.takeUntold(limit, retryMs, this.#now()) : [];
      if (rows.length > 0) return rows;
    }
    return [];
  }

  async acknowledgeDead(ids: readonly number[]): Promise<void> {
    for (const { dead } of this.#data.queues) for (const id of ids) dead.acknowledge(id);
  }

  #commit(): void {
    this.#data.commits++;
    this.#ownCommits++;
  }

  /** Storage time: one for all views, though each process has a clock of its own. */
  #now(): number {
    const clock = this.#clock;
    if (clock === null) {
      const message =
        "This storage is not open: call open() first, or do not use it after close().";
      throw new BatchworkError("STORAGE_FAILED", message);
    }
    const data = this.#data;
    this.#reading = advanceClock(this.#reading, data.time, clock.wallMs(), clock.monotonicMs());
    data.time = this.#reading.at;
    return data.time;
  }
}
