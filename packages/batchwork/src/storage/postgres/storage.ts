/** The storage port on PostgreSQL: opens the database, and sends each method to its function. */
import type { Clock } from "../../core/clock.ts";
import type { SharedDefinition } from "../../core/definition.ts";
import { BatchworkError } from "../../core/errors.ts";
import type { KeyedAnswer, KeyedAppend } from "../../core/keyed.ts";
import type { Lease } from "../../core/lease.ts";
import type { Amount } from "../../core/pending.ts";
import type { Throttle } from "../../core/throttle.ts";
import type { Member } from "../../core/members.ts";
import type { ItemResult } from "../../core/results.ts";
import type { Agreement, Proposal } from "../definitions.ts";
import type { FinishedRow, HistoryQuery } from "../history.ts";
import type { PreparedPart } from "../preparation.ts";
import type { PromotionDestination, PromotionTarget } from "../promotion.ts";
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
import type { TableStorage } from "../tables.ts";
import { appendKeyed, appendKeyedWithin } from "./append-keyed.ts";
import { appendWithin } from "./append-within.ts";
import { openConnection, type Connection, type ConnectionSettings } from "./connection.ts";
import type { Database } from "./database.ts";
import * as dead from "./dead.ts";
import { Budgets } from "./budgets.ts";
import * as definitions from "./definitions.ts";
import { exchange, type Marks } from "./exchange.ts";
import { history } from "./history.ts";
import { appendCall, appended } from "./intake.ts";
import {
  appendKeyedLimited,
  appendKeyedLimitedWithin,
  appendLimited,
  appendLimitedWithin,
  isLimited,
} from "./limited.ts";
import * as leases from "./leases.ts";
import { PostgresLoops } from "./loop-storage.ts";
import { prepareBatch } from "./preparation.ts";
import { PostgresPools } from "./pools.ts";
import { promotionTarget } from "./promote.ts";
import * as queues from "./queues.ts";
import { findResults } from "./results.ts";
import * as status from "./status.ts";
import { postgresTables } from "./tables/table.ts";
import { transact } from "./transact.ts";

/** See {@link Storage} for what each method promises. */
export class PostgresStorage implements Storage, PromotionDestination {
  readonly payload = "text";
  readonly durable = true;
  readonly loops = new PostgresLoops(() => this.#database);
  readonly pools = new PostgresPools(() => this.#database);
  readonly tables: TableStorage;
  readonly #settings: ConnectionSettings;
  #opening: Promise<void> | undefined;
  #connection: Connection | undefined;
  /** What may be appended to queues that have a limit. */
  #budgets: Budgets | undefined;
  readonly #marks: Marks = new Map();
  /** Queues that are known to exist; none is ever removed. */
  readonly #queues = new Set<number>();

  constructor(settings: ConnectionSettings) {
    this.#settings = settings;
    this.tables = postgresTables(() => this.#database, settings.schema);
  }

  async open(env: StorageEnv): Promise<void> {
    this.#opening ??= this.#open(env);
    try {
      await this.#opening;
    } catch (error) {
      // The next caller tries again.
      this.#opening = undefined;
      throw error;
    }
  }

  async close(): Promise<void> {
    await this.#opening?.catch(() => undefined);
    const connection = this.#connection;
    const budgets = this.#budgets;
    this.#connection = undefined;
    this.#budgets = undefined;
    this.#opening = undefined;
    await budgets?.giveBack(true);
    await connection?.close();
  }

  /** Nobody knows without asking: who commits announces it. */
  changed(): boolean {
    return false;
  }

  announce(ms: number): void {
    this.#connection?.announce(ms);
  }

  async define(definitions: readonly QueueDefinition[]): Promise<QueueInfo[]> {
    const infos = await queues.define(this.#database, definitions);
    for (const { id } of infos) this.#queues.add(id);
    return infos;
  }

  async setPaused(ids: readonly number[], paused: boolean): Promise<void> {
    await this.#checkQueues(ids);
    await queues.setPaused(this.#database, ids, paused);
  }

  async append(chunks: readonly NewChunk[]): Promise<AppendedChunk[]> {
    const database = this.#database;
    if (chunks.length === 0) return [];
    await this.#checkQueues(chunks.map(({ queue }) => queue));
    if (isLimited(chunks)) return appendLimited(database, this.#budgets as Budgets, chunks);
    const { sql, values } = appendCall(chunks, database.at);
    return appended(await database.rows(sql, values));
  }

  appendInside(): never {
    const message =
      "PostgreSQL writes nothing before it returns: await add(item, { tx }) instead of addSync.";
    throw new BatchworkError("TX_UNSUPPORTED", message, { field: "tx" });
  }

  async appendWithin(tx: unknown, chunks: readonly NewChunk[]): Promise<AppendedChunk[]> {
    await this.#checkQueues(chunks.map(({ queue }) => queue));
    const database = this.#database;
    if (isLimited(chunks)) {
      return appendLimitedWithin(database, this.#budgets as Budgets, tx, chunks);
    }
    return appendWithin(database, tx, chunks);
  }

  async appendKeyed(request: KeyedAppend): Promise<KeyedAnswer[]> {
    const database = this.#database;
    if (request.items.length === 0) return [];
    await this.#checkQueues(request.chunks.map(({ queue }) => queue));
    if (isLimited(request.chunks)) {
      return appendKeyedLimited(database, this.#budgets as Budgets, request);
    }
    return appendKeyed(database, request);
  }

  appendKeyedInside(): never {
    return this.appendInside();
  }

  async appendKeyedWithin(tx: unknown, request: KeyedAppend): Promise<KeyedAnswer[]> {
    await this.#checkQueues(request.chunks.map(({ queue }) => queue));
    const database = this.#database;
    if (request.items.length > 0 && isLimited(request.chunks)) {
      return appendKeyedLimitedWithin(database, this.#budgets as Budgets, tx, request);
    }
    return appendKeyedWithin(database, tx, request);
  }

  async exchange(request: Exchange): Promise<Exchanged> {
    return exchange(this.#database, this.#marks, request);
  }

  async progress(lease: Lease, percent: number, note: string): Promise<boolean> {
    return leases.progress(this.#database, lease, percent, note);
  }

  async prepare(
    lease: Lease,
    parts: readonly PreparedPart[] | null,
    results?: readonly ItemResult[],
  ): Promise<readonly Member[] | null> {
    return prepareBatch(this.#database, lease, parts, results);
  }

  async findResults(queue: number, ids: readonly string[]): Promise<FoundResult[]> {
    await this.#checkQueues([queue]);
    return findResults(this.#database, queue, ids);
  }

  async transact<R>(request: Transact<R>): Promise<R> {
    return transact(this.#database, request);
  }

  async enroll(leaseMs: number): Promise<number> {
    const enrolled = leases.enroll(this.#database, leaseMs);
    // Whoever only adds has no use for a connection that listens. Asked for second: it would get
    // the connection that is open already, and everything else had to wait for a new one.
    this.#connection?.listen();
    return enrolled;
  }

  async heartbeat(incarnation: number, leaseMs: number): Promise<boolean> {
    await this.#budgets?.giveBack();
    return leases.heartbeat(this.#database, incarnation, leaseMs);
  }

  async reap(maxCrashes: number): Promise<Reaped> {
    return leases.reap(this.#database, maxCrashes);
  }

  async absolve(incarnation: number): Promise<void> {
    await leases.absolve(this.#database, incarnation);
  }

  async reconcile(incarnation: number, known: readonly Lease[]): Promise<Lease[]> {
    return leases.reconcile(this.#database, incarnation, known);
  }

  async release(given: readonly Lease[]): Promise<void> {
    await leases.release(this.#database, given);
  }

  async retire(incarnation: number): Promise<void> {
    await leases.retire(this.#database, incarnation);
  }

  async makeDue(queue: number, group: string | null): Promise<number> {
    return status.makeDue(this.#database, queue, group);
  }

  async outstanding(query: Outstanding): Promise<number> {
    return status.outstanding(this.#database, query);
  }

  async counts(queue: number, group: string | null): Promise<QueueCounts> {
    return status.counts(this.#database, queue, group);
  }

  async throttledUntil(queue: number, throttle: Throttle): Promise<number | null> {
    return status.throttledUntil(this.#database, queue, throttle);
  }

  async pending(queue: number): Promise<Amount> {
    await this.#checkQueues([queue]);
    return status.pending(this.#database, queue);
  }

  async running(queue: number): Promise<RunningBatch[]> {
    return status.running(this.#database, queue);
  }

  async history(query: HistoryQuery): Promise<FinishedRow[]> {
    await this.#checkQueues([query.queue]);
    return history(this.#database, query);
  }

  async replay(queue: number, batch: number): Promise<number | null> {
    await this.#checkQueues([queue]);
    return definitions.replay(this.#database, queue, batch);
  }

  async propose(proposals: readonly Proposal[]): Promise<Agreement[]> {
    return definitions.propose(this.#database, proposals);
  }

  async agreed(ids: readonly number[]): Promise<(SharedDefinition | null)[]> {
    return definitions.agreed(this.#database, ids);
  }

  async deadLetters(query: DeadQuery): Promise<DeadRow[]> {
    return dead.deadLetters(this.#database, query);
  }

  async redrive(queue: number, ids: readonly number[] | "all"): Promise<number> {
    return dead.redrive(this.#database, queue, ids);
  }

  async discard(queue: number, ids: readonly number[] | "all"): Promise<number> {
    return dead.discard(this.#database, queue, ids);
  }

  async takeUnnotified(ids: readonly number[], limit: number, retryMs: number): Promise<DeadRow[]> {
    return dead.takeUnnotified(this.#database, ids, limit, retryMs);
  }

  async acknowledgeDead(ids: readonly number[]): Promise<void> {
    await dead.acknowledgeDead(this.#database, ids);
  }

  async promotionTarget(clock: Clock): Promise<PromotionTarget> {
    return promotionTarget(this.#settings, clock);
  }

  get #database(): Database {
    if (this.#connection !== undefined) return this.#connection.database;
    throw new BatchworkError(
      "STORAGE_FAILED",
      "The PostgreSQL storage is not open: call open() first.",
    );
  }

  async #open(env: StorageEnv): Promise<void> {
    this.#connection = await openConnection(this.#settings, env);
    this.#budgets = new Budgets(this.#connection.database, env.clock);
  }

  /** A chunk of a queue that is not there would never be claimed by anybody. */
  async #checkQueues(ids: readonly number[]): Promise<void> {
    for (const id of ids) {
      if (this.#queues.has(id)) continue;
      await status.counts(this.#database, id, "");
      this.#queues.add(id);
    }
  }
}
