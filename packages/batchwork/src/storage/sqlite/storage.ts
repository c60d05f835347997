/** The storage port on SQLite: opens the database, and gives each method its transaction. */
import { BatchworkError } from "../../core/errors.ts";
import type { Clock } from "../../core/clock.ts";
import type { SharedDefinition } from "../../core/definition.ts";
import type { KeyedAnswer, KeyedAppend } from "../../core/keyed.ts";
import type { Lease } from "../../core/lease.ts";
import type { Amount } from "../../core/pending.ts";
import type { Throttle } from "../../core/throttle.ts";
import type { Member } from "../../core/members.ts";
import type { ItemResult } from "../../core/results.ts";
import type { Agreement, Proposal } from "../definitions.ts";
import type { FinishedRow, HistoryQuery } from "../history.ts";
import type { PreparedPart } from "../preparation.ts";
import type { PromotionOrigin, PromotionSource } from "../promotion.ts";
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
import { appendInside, appendKeyedInside } from "./append-inside.ts";
import { appendAndForget } from "./append-keyed.ts";
import * as dead from "./dead.ts";
import * as definitions from "./definitions.ts";
import { exchange } from "./exchange.ts";
import { history } from "./history.ts";
import { append } from "./intake.ts";
import * as leases from "./leases.ts";
import { SqliteLoops } from "./loop-storage.ts";
import { pendingOf } from "./pending.ts";
import { prepareBatch } from "./preparation.ts";
import { isInMemory, openDatabase, type Opened, type SqliteSettings } from "./open.ts";
import { SqlitePools } from "./pools.ts";
import { promotionSource } from "./promote.ts";
import * as queues from "./queues.ts";
import { reap } from "./reap.ts";
import type { Statements } from "./prepared.ts";
import { replay } from "./retention.ts";
import { findResults } from "./results.ts";
import * as status from "./status.ts";
import { sqliteTables } from "./tables/table.ts";
import { transact } from "./transact.ts";
import { roomOf } from "./throttle.ts";
import { storageError, type Transactions } from "./transaction.ts";

/** Chunks that `counts` looks through each time; with more it writes down what it has counted. */
const UNCOUNTED_MAX = 1000;

/** See {@link Storage} for what each method promises. */
export class SqliteStorage implements Storage, PromotionOrigin {
  readonly payload = "text";
  readonly durable: boolean;
  readonly loops: SqliteLoops;
  readonly pools: SqlitePools;
  readonly tables: TableStorage;
  readonly #settings: SqliteSettings;
  #opening: Promise<void> | undefined;
  #opened: Opened | undefined;
  #dataVersion = 0;
  /** Something was written in a transaction of the user's own that nobody tells us the end of. */
  #appendedInside = false;
  /** Queues that are known to exist; none is ever removed. */
  readonly #queues = new Set<number>();

  constructor(settings: SqliteSettings) {
    this.#settings = settings;
    this.durable = !isInMemory(settings);
    const opened = (): Opened => this.#ready && (this.#opened as Opened);
    this.loops = new SqliteLoops(opened, (tx) => this.#writtenInside(tx));
    this.tables = sqliteTables(opened);
    this.pools = new SqlitePools(() => this.#ready);
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
    const opened = this.#opened;
    this.#opened = undefined;
    this.#opening = undefined;
    // Behind everything that was asked for before.
    await opened?.transactions.last(() => opened.connection.close());
  }

  changed(): boolean {
    if (this.#opened === undefined) return false;
    const { connection } = this.#opened;
    let changed = false;
    if (this.#appendedInside && !connection.inForeignTransaction) {
      this.#appendedInside = false;
      changed = true;
    }
    try {
      const version = connection.dataVersion();
      if (version !== this.#dataVersion) changed = true;
      this.#dataVersion = version;
      return changed;
    } catch (error) {
      throw storageError(error);
    }
  }

  async define(definitions: readonly QueueDefinition[]): Promise<QueueInfo[]> {
    return this.#ready.write((tx) => queues.define(tx, definitions));
  }

  async setPaused(ids: readonly number[], paused: boolean): Promise<void> {
    await this.#ready.write((tx) => queues.setPaused(tx, ids, paused));
  }

  async append(chunks: readonly NewChunk[]): Promise<AppendedChunk[]> {
    return this.#ready.write((tx) => {
      this.#checkQueues(tx.sql, chunks);
      return append(tx, chunks);
    });
  }

  appendInside(tx: unknown, chunks: readonly NewChunk[]): AppendedChunk[] {
    const { time } = this.#ready;
    const { connection } = this.#opened as Opened;
    this.#checkQueues(connection.statements, chunks);
    const appended = appendInside(connection, time, tx, chunks);
    this.#writtenInside(tx);
    return appended;
  }

  async appendWithin(tx: unknown, chunks: readonly NewChunk[]): Promise<AppendedChunk[]> {
    return this.appendInside(tx, chunks);
  }

  async appendKeyed(request: KeyedAppend): Promise<KeyedAnswer[]> {
    return this.#ready.write((tx) => {
      this.#checkQueues(tx.sql, request.chunks);
      return appendAndForget(tx, request);
    });
  }

  appendKeyedInside(tx: unknown, request: KeyedAppend): KeyedAnswer[] {
    const { time } = this.#ready;
    const { connection } = this.#opened as Opened;
    this.#checkQueues(connection.statements, request.chunks);
    const answers = appendKeyedInside(connection, time, tx, request);
    this.#writtenInside(tx);
    return answers;
  }

  async appendKeyedWithin(tx: unknown, request: KeyedAppend): Promise<KeyedAnswer[]> {
    return this.appendKeyedInside(tx, request);
  }

  async exchange(request: Exchange): Promise<Exchanged> {
    return this.#ready.write((tx) => exchange(tx, request));
  }

  async progress(lease: Lease, percent: number, note: string): Promise<boolean> {
    return this.#ready.write((tx) => leases.progress(tx, lease, percent, note));
  }

  async prepare(
    lease: Lease,
    parts: readonly PreparedPart[] | null,
    results?: readonly ItemResult[],
  ): Promise<readonly Member[] | null> {
    return this.#ready.write((tx) => prepareBatch(tx, lease, parts, results));
  }

  async findResults(queue: number, ids: readonly string[]): Promise<FoundResult[]> {
    return this.#ready.readAt((sql, now) => findResults(sql, now, queue, ids));
  }

  async transact<R>(request: Transact<R>): Promise<R> {
    const transactions = this.#ready;
    const { connection } = this.#opened as Opened;
    return transactions.alone(() => transact(connection, transactions.time, request));
  }

  async enroll(leaseMs: number): Promise<number> {
    return this.#ready.write((tx) => leases.enroll(tx, leaseMs));
  }

  async heartbeat(incarnation: number, leaseMs: number): Promise<boolean> {
    return this.#ready.write((tx) => leases.heartbeat(tx, incarnation, leaseMs));
  }

  async reap(maxCrashes: number): Promise<Reaped> {
    return this.#ready.write((tx) => reap(tx, maxCrashes));
  }

  async absolve(incarnation: number): Promise<void> {
    await this.#ready.write((tx) => leases.absolve(tx, incarnation));
  }

  async reconcile(incarnation: number, known: readonly Lease[]): Promise<Lease[]> {
    return this.#ready.write((tx) => leases.reconcile(tx, incarnation, known));
  }

  async release(given: readonly Lease[]): Promise<void> {
    await this.#ready.write((tx) => leases.release(tx, given));
  }

  async retire(incarnation: number): Promise<void> {
    await this.#ready.write((tx) => leases.retire(tx, incarnation));
  }

  async makeDue(queue: number, group: string | null): Promise<number> {
    return this.#ready.write((tx) => status.makeDue(tx, queue, group));
  }

  async outstanding(query: Outstanding): Promise<number> {
    return this.#ready.read((sql) => status.outstanding(sql, query));
  }

  async counts(queue: number, group: string | null): Promise<QueueCounts> {
    const transactions = this.#ready;
    if ((await transactions.read((sql) => status.uncounted(sql, queue))) > UNCOUNTED_MAX) {
      await transactions.write((tx) => status.countWaiting(tx, queue));
    }
    return transactions.read((sql) => status.counts(sql, queue, group));
  }

  async throttledUntil(queue: number, throttle: Throttle): Promise<number | null> {
    return this.#ready.write(({ sql, now }) => roomOf(sql, queue, throttle, now).freesAt);
  }

  async pending(queue: number): Promise<Amount> {
    return this.#ready.read((sql) => pendingOf(sql, queue));
  }

  async running(queue: number): Promise<RunningBatch[]> {
    return this.#ready.read((sql) => status.running(sql, queue));
  }

  async history(query: HistoryQuery): Promise<FinishedRow[]> {
    return this.#ready.read((sql) => history(sql, query));
  }

  async replay(queue: number, batch: number): Promise<number | null> {
    return this.#ready.write((tx) => replay(tx, queue, batch));
  }

  async propose(proposals: readonly Proposal[]): Promise<Agreement[]> {
    const transactions = this.#ready;
    const { handle } = (this.#opened as Opened).connection;
    return transactions.write(({ sql }) => definitions.propose(sql, handle, proposals));
  }

  async agreed(ids: readonly number[]): Promise<(SharedDefinition | null)[]> {
    return this.#ready.read((sql) => definitions.agreed(sql, ids));
  }

  async deadLetters(query: DeadQuery): Promise<DeadRow[]> {
    return this.#ready.read((sql) => dead.deadLetters(sql, query));
  }

  async redrive(queue: number, ids: readonly number[] | "all"): Promise<number> {
    return this.#ready.write((tx) => dead.redrive(tx, queue, ids));
  }

  async discard(queue: number, ids: readonly number[] | "all"): Promise<number> {
    return this.#ready.write((tx) => dead.discard(tx, queue, ids));
  }

  async takeUnnotified(
    queues: readonly number[],
    limit: number,
    retryMs: number,
  ): Promise<DeadRow[]> {
    return this.#ready.write((tx) => dead.takeUnnotified(tx, queues, limit, retryMs));
  }

  async acknowledgeDead(ids: readonly number[]): Promise<void> {
    await this.#ready.write((tx) => dead.acknowledgeDead(tx, ids));
  }

  async promotionSource(clock: Clock): Promise<PromotionSource> {
    return promotionSource(this.#settings, clock);
  }

  get #ready(): Transactions {
    if (this.#opened !== undefined) return this.#opened.transactions;
    throw new BatchworkError(
      "STORAGE_FAILED",
      "The SQLite storage is not open: call open() first.",
    );
  }

  async #open({ clock }: StorageEnv): Promise<void> {
    this.#opened = await openDatabase(this.#settings, clock);
    this.#dataVersion = this.#opened.connection.dataVersion();
  }

  #writtenInside(tx: unknown): void {
    if (tx === this.#opened?.connection.handle) this.#appendedInside = true;
  }

  /** A chunk of a queue that is not there would never be claimed by anybody. */
  #checkQueues(sql: Statements, chunks: readonly { readonly queue: number }[]): void {
    for (const { queue } of chunks) {
      if (this.#queues.has(queue)) continue;
      queues.queueRow(sql, queue);
      this.#queues.add(queue);
    }
  }
}
