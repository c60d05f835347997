/** A storage that fails and dawdles on a schedule, for tests of what the engine does then. */
import type { Clock } from "../core/clock.ts";
import type { SharedDefinition } from "../core/definition.ts";
import { BatchworkError } from "../core/errors.ts";
import type { KeyedAnswer, KeyedAppend } from "../core/keyed.ts";
import type { Lease } from "../core/lease.ts";
import type { Amount } from "../core/pending.ts";
import type { Throttle } from "../core/throttle.ts";
import type { Member } from "../core/members.ts";
import type { ItemResult } from "../core/results.ts";
import type { Agreement, Proposal } from "../storage/definitions.ts";
import type { FinishedRow, HistoryQuery } from "../storage/history.ts";
import type { PreparedPart } from "../storage/preparation.ts";
import { FaultyLoops, type LoopMethod } from "./faulty-loops.ts";
import { FaultyPools, type PoolMethod } from "./faulty-pools.ts";
import type { FoundResult } from "../storage/results.ts";
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
} from "../storage/storage.ts";
import type { TableStorage } from "../storage/tables.ts";

/** A method of the port that can be made to fail. The hints, `changed` and `announce`, cannot. */
export type StorageMethod =
  | Exclude<
      keyof Storage,
      "payload" | "durable" | "changed" | "announce" | "tables" | "loops" | "pools"
    >
  | LoopMethod
  | PoolMethod;

/** One call, as the schedule sees it. */
export interface StorageCall {
  readonly method: StorageMethod;
  /** Which call of any method this is, counted from 1. */
  readonly call: number;
  /** Which call of this method this is, counted from 1. */
  readonly nth: number;
}

/** What happens to one call. Everything left out does not happen. */
export interface StorageFault {
  /** Time before the storage gets to see the call, ms. Not for what is synchronous. */
  readonly delayBeforeMs?: number;
  /** Time after the storage has carried it out, before the caller hears of it, ms. */
  readonly delayAfterMs?: number;
  /**
   * - `"before"`: rejects with `STORAGE_FAILED`, and nothing happened.
   * - `"busy"`: rejects with `STORAGE_BUSY`, and nothing happened.
   * - `"after"`: the call took effect, then rejects with `STORAGE_FAILED`: a lost commit reply.
   */
  readonly fail?: "before" | "busy" | "after";
}

/** Decides what happens to a call. Same calls, same answers: then a test can be replayed. */
export type FaultSchedule = (call: StorageCall) => StorageFault | undefined;

/** What {@link faultyStorage} needs besides the storage. */
export interface FaultOptions {
  readonly schedule: FaultSchedule;
  /** Measures the delays. */
  readonly clock: Clock;
}

/** Which call {@link failNth} makes fail. */
export interface NthFault {
  /** Counted from 1. */
  readonly nth: number;
  /** Default: calls of every method count. */
  readonly method?: StorageMethod;
  readonly fail: "before" | "busy" | "after";
  /** True: this call and every later one. Default: this call only. */
  readonly forGood?: boolean;
}

/** A schedule that fails the n-th call, once or for good. */
export function failNth({ nth, method, fail, forGood = false }: NthFault): FaultSchedule {
  return (call) => {
    if (method !== undefined && call.method !== method) return undefined;
    const number = method === undefined ? call.call : call.nth;
    return number === nth || (forGood && number > nth) ? { fail } : undefined;
  };
}

/** The same storage, except that its calls fail and take time as `schedule` says. */
export function faultyStorage(inner: Storage, options: FaultOptions): Storage {
  return new FaultyStorage(inner, options);
}

class FaultyStorage implements Storage {
  readonly payload: "text" | "reference";
  readonly durable: boolean;
  readonly loops: FaultyLoops;
  readonly tables?: TableStorage;
  readonly pools: FaultyPools;
  /** Only where the storage has it. */
  announce?: (ms: number) => void;
  readonly #inner: Storage;
  readonly #schedule: FaultSchedule;
  readonly #clock: Clock;
  readonly #counts = new Map<StorageMethod, number>();
  #calls = 0;

  constructor(inner: Storage, options: FaultOptions) {
    this.payload = inner.payload;
    this.durable = inner.durable;
    this.#inner = inner;
    this.#schedule = options.schedule;
    this.#clock = options.clock;
    if (inner.tables !== undefined) this.tables = inner.tables;
    this.loops = new FaultyLoops(inner.loops, {
      call: (method, run) => this.#call(method, run),
      callSync: (method, run) => this.#callSync(method, run),
    });
    this.pools = new FaultyPools(inner.pools, (method, run) => this.#call(method, run));
    if (inner.announce !== undefined) this.announce = (ms) => inner.announce?.(ms);
  }

  changed(): boolean {
    return this.#inner.changed();
  }

  open(env: StorageEnv): Promise<void> {
    return this.#call("open", () => this.#inner.open(env));
  }

  close(): Promise<void> {
    return this.#call("close", () => this.#inner.close());
  }

  define(queues: readonly QueueDefinition[]): Promise<QueueInfo[]> {
    return this.#call("define", () => this.#inner.define(queues));
  }

  setPaused(queues: readonly number[], paused: boolean): Promise<void> {
    return this.#call("setPaused", () => this.#inner.setPaused(queues, paused));
  }

  append(chunks: readonly NewChunk[]): Promise<AppendedChunk[]> {
    return this.#call("append", () => this.#inner.append(chunks));
  }

  appendInside(tx: unknown, chunks: readonly NewChunk[]): AppendedChunk[] {
    return this.#callSync("appendInside", () => this.#inner.appendInside(tx, chunks));
  }

  appendKeyed(append: KeyedAppend): Promise<KeyedAnswer[]> {
    return this.#call("appendKeyed", () => this.#inner.appendKeyed(append));
  }

  appendKeyedInside(tx: unknown, append: KeyedAppend): KeyedAnswer[] {
    return this.#callSync("appendKeyedInside", () => this.#inner.appendKeyedInside(tx, append));
  }

  appendKeyedWithin(tx: unknown, append: KeyedAppend): Promise<KeyedAnswer[]> {
    return this.#call("appendKeyedWithin", () => this.#inner.appendKeyedWithin(tx, append));
  }

  exchange(request: Exchange): Promise<Exchanged> {
    return this.#call("exchange", () => this.#inner.exchange(request));
  }

  progress(lease: Lease, percent: number, note: string): Promise<boolean> {
    return this.#call("progress", () => this.#inner.progress(lease, percent, note));
  }

  appendWithin(tx: unknown, chunks: readonly NewChunk[]): Promise<AppendedChunk[]> {
    return this.#call("appendWithin", () => this.#inner.appendWithin(tx, chunks));
  }

  prepare(
    lease: Lease,
    parts: readonly PreparedPart[] | null,
    results?: readonly ItemResult[],
  ): Promise<readonly Member[] | null> {
    return this.#call("prepare", () => this.#inner.prepare(lease, parts, results));
  }

  findResults(queue: number, ids: readonly string[]): Promise<FoundResult[]> {
    return this.#call("findResults", () => this.#inner.findResults(queue, ids));
  }

  transact<R>(request: Transact<R>): Promise<R> {
    return this.#call("transact", () => this.#inner.transact(request));
  }

  enroll(leaseMs: number): Promise<number> {
    return this.#call("enroll", () => this.#inner.enroll(leaseMs));
  }

  heartbeat(incarnation: number, leaseMs: number): Promise<boolean> {
    return this.#call("heartbeat", () => this.#inner.heartbeat(incarnation, leaseMs));
  }

  reap(maxCrashes: number): Promise<Reaped> {
    return this.#call("reap", () => this.#inner.reap(maxCrashes));
  }

  absolve(incarnation: number): Promise<void> {
    return this.#call("absolve", () => this.#inner.absolve(incarnation));
  }

  reconcile(incarnation: number, known: readonly Lease[]): Promise<Lease[]> {
    return this.#call("reconcile", () => this.#inner.reconcile(incarnation, known));
  }

  release(leases: readonly Lease[]): Promise<void> {
    return this.#call("release", () => this.#inner.release(leases));
  }

  retire(incarnation: number): Promise<void> {
    return this.#call("retire", () => this.#inner.retire(incarnation));
  }

  makeDue(queue: number, group: string | null): Promise<number> {
    return this.#call("makeDue", () => this.#inner.makeDue(queue, group));
  }

  outstanding(query: Outstanding): Promise<number> {
    return this.#call("outstanding", () => this.#inner.outstanding(query));
  }

  counts(queue: number, group: string | null): Promise<QueueCounts> {
    return this.#call("counts", () => this.#inner.counts(queue, group));
  }

  throttledUntil(queue: number, throttle: Throttle): Promise<number | null> {
    return this.#call("throttledUntil", () => this.#inner.throttledUntil(queue, throttle));
  }

  pending(queue: number): Promise<Amount> {
    return this.#call("pending", () => this.#inner.pending(queue));
  }

  running(queue: number): Promise<RunningBatch[]> {
    return this.#call("running", () => this.#inner.running(queue));
  }

  history(query: HistoryQuery): Promise<FinishedRow[]> {
    return this.#call("history", () => this.#inner.history(query));
  }

  replay(queue: number, batch: number): Promise<number | null> {
    return this.#call("replay", () => this.#inner.replay(queue, batch));
  }

  propose(proposals: readonly Proposal[]): Promise<Agreement[]> {
    return this.#call("propose", () => this.#inner.propose(proposals));
  }

  agreed(queues: readonly number[]): Promise<(SharedDefinition | null)[]> {
    return this.#call("agreed", () => this.#inner.agreed(queues));
  }

  deadLetters(query: DeadQuery): Promise<DeadRow[]> {
    return this.#call("deadLetters", () => this.#inner.deadLetters(query));
  }

  redrive(queue: number, ids: readonly number[] | "all"): Promise<number> {
    return this.#call("redrive", () => this.#inner.redrive(queue, ids));
  }

  discard(queue: number, ids: readonly number[] | "all"): Promise<number> {
    return this.#call("discard", () => this.#inner.discard(queue, ids));
  }

  takeUnnotified(queues: readonly number[], limit: number, retryMs: number): Promise<DeadRow[]> {
    return this.#call("takeUnnotified", () => this.#inner.takeUnnotified(queues, limit, retryMs));
  }

  acknowledgeDead(ids: readonly number[]): Promise<void> {
    return this.#call("acknowledgeDead", () => this.#inner.acknowledgeDead(ids));
  }

  async #call<R>(method: StorageMethod, run: () => Promise<R>): Promise<R> {
    const fault = this.#next(method);
    if (fault === undefined) return run();
    await this.#wait(fault.delayBeforeMs);
    if (fault.fail === "before" || fault.fail === "busy") throw failure(method, fault.fail);
    const result = await run();
    await this.#wait(fault.delayAfterMs);
    if (fault.fail === "after") throw failure(method, fault.fail);
    return result;
  }

  #callSync<R>(method: StorageMethod, run: () => R): R {
    const fail = this.#next(method)?.fail;
    if (fail === "before" || fail === "busy") throw failure(method, fail);
    const result = run();
    if (fail === "after") throw failure(method, fail);
    return result;
  }

  #next(method: StorageMethod): StorageFault | undefined {
    const nth = (this.#counts.get(method) ?? 0) + 1;
    this.#counts.set(method, nth);
    this.#calls++;
    return this.#schedule({ method, call: this.#calls, nth });
  }

  async #wait(ms: number | undefined): Promise<void> {
    if (ms === undefined) return;
    await new Promise<void>((resolve) => {
      this.#clock.after(ms, resolve);
    });
  }
}

function failure(method: StorageMethod, fail: "before" | "busy" | "after"): BatchworkError {
  if (fail === "busy") {
    return new BatchworkError("STORAGE_BUSY", `Injected: the write lock was taken in ${method}().`);
  }
  const what = fail === "before" ? "an input/output error in" : "the reply was lost after";
  return new BatchworkError("STORAGE_FAILED", `Injected: ${what} ${method}().`);
}
