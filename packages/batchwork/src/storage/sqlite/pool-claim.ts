/** Claiming from one pool: whose turn it is, and what it gets. */
import { compact } from "../../core/members.ts";
import type { ClaimedSlice, PoolClaim } from "../pools.ts";
import { readyDelayed, sliceNewChunks } from "./pool-intake.ts";
import { poolRow } from "./pool-rows.ts";
import { heldIndices, leaseFirst, TaskTexts, type SliceRow } from "./pool-slices.ts";
import { queueRow } from "./queues.ts";
import { noteDeliveries, roomOf } from "./throttle.ts";
import type { Transaction } from "./transaction.ts";

/** Keys, and slices of a key, that are read at a time. */
const PAGE = 256;

/** A serial key in line. */
interface KeyRow {
  readonly key: string;
  readonly priority: number;
  readonly running: number;
}

interface SuspectRow extends SliceRow {
  /** Leased tasks of its key. */
  readonly running: number;
}

export interface PoolClaimer {
  readonly incarnation: number;
  readonly claimed: ClaimedSlice[];
}

/** What a claim leaves to be done. */
export interface PoolRest {
  readonly more: boolean;
  readonly nextAt: number | null;
}

/** One claim on one pool. */
export class PoolTurn {
  readonly #tx: Transaction;
  readonly #claim: PoolClaim;
  readonly #claimer: PoolClaimer;
  readonly #keyCap: number;
  /** True when there are chunks or delayed tasks beyond what one claim takes in. */
  readonly #unseen: boolean;
  /** What the parallelism leaves, and the throttle. */
  #places: number;
  #room: number;
  /** What the process has left. */
  #free: number;
  #bytes: number;
  #taken = 0;
  /** The next task is too large for what is left of the bytes. */
  #full = false;

  private constructor(
    tx: Transaction,
    claim: PoolClaim,
    parallelism: number | null,
    claimer: PoolClaimer,
    unseen: boolean,
  ) {
    const { queue, limit, maxBytes, maxParallelism, concurrencyPerKey, throttle } = claim;
    const { n: running } = tx.sql.tasksRunning.get(queue) as { readonly n: number };
    this.#tx = tx;
    this.#claim = claim;
    this.#claimer = claimer;
    this.#keyCap = Math.min(concurrencyPerKey, Number.MAX_SAFE_INTEGER);
    this.#unseen = unseen;
    this.#places = Math.max(0, (parallelism ?? maxParallelism) - running);
    this.#room = roomOf(tx.sql, queue, throttle, tx.now).left;
    this.#free = limit;
    this.#bytes = maxBytes;
  }

  /** Brings the pool up to date with what was appended. `null` for a paused one. */
  static start(tx: Transaction, claim: PoolClaim, claimer: PoolClaimer): PoolTurn | null {
    const queue = queueRow(tx.sql, claim.queue);
    const { parallelism } = poolRow(tx.sql, claim.queue);
    if (queue.paused === 1) return null;
    const newChunks = sliceNewChunks(tx, queue);
    const unseen = readyDelayed(tx, claim.queue) || newChunks;
    return new PoolTurn(tx, claim, parallelism, claimer, unseen);
  }

  /** Claims up to the limits. `some`: false when only to say what there would be. */
  claim(some: boolean): PoolRest {
    if (some) while (this.#capacity() > 0 && this.#serveKeys());
    this.#note();
    return { more: this.#isMore(), nextAt: this.#nextAt() };
  }

  /** The suspect that has waited longest, if one may start now. */
  firstSuspect(): { readonly run_at: number } | null {
    if (this.#places === 0 || this.#room === 0) return null;
    return this.#suspects(1)[0] ?? null;
  }

  /** Claims suspects, as many as may keep each other company. */
  claimSuspects(): void {
    const running = new Map<string, number>();
    let company = Number.POSITIVE_INFINITY;
    for (const row of this.#suspects(PAGE)) {
      company = Math.min(company, row.company as number);
      const before = running.get(row.key) ?? row.running;
      const cap = row.key === "" ? Number.POSITIVE_INFINITY : this.#keyCap - before;
      const most = Math.min(this.#capacity(), company - this.#taken, cap);
      if (most <= 0) continue;
      const taken = this.#take(row, most, true);
      running.set(row.key, before + taken);
      if (row.key !== "") this.#started(row.key, taken);
    }
    this.#note();
  }

  get isFree(): boolean {
    return this.#free > 0;
  }

  #suspects(most: number): SuspectRow[] {
    const { queue } = this.#claim;
    if (this.#tx.sql.anySuspectSlice.get(queue) === undefined) return [];
    return this.#tx.sql.suspectSlices.all(queue, this.#keyCap, most) as SuspectRow[];
  }

  #capacity(): number {
    return this.#full ? 0 : Math.min(this.#free, this.#places, this.#room);
  }

  /** Gives each key in line, of those that go first, its share. False when none is in line. */
  #serveKeys(): boolean {
    const { sql } = this.#tx;
    const capacity = this.#capacity();
    const line = sql.openKeys.all(this.#claim.queue, Math.min(capacity, PAGE)) as KeyRow[];
    const [first] = line;
    if (first === undefined) return false;
    const round = line.filter(({ priority }) => priority === first.priority);
    const share = Math.max(1, Math.floor(capacity / round.length));
    for (const key of round) {
      if (this.#capacity() === 0) break;
      this.#serve(key, Math.min(share, this.#capacity()));
    }
    return true;
  }

  /** Takes up to `share` tasks of a key, and puts it at the end of its line. */
  #serve({ key, priority, running }: KeyRow, share: number): void {
    const { sql } = this.#tx;
    const { queue } = this.#claim;
    const cap = key === "" ? Number.POSITIVE_INFINITY : this.#keyCap;
    let most = Math.min(share, cap - running);
    let now = running;
    for (;;) {
      const page = Math.min(Math.max(most, 0), PAGE) + 1;
      const rows = sql.firstReadySlices.all(queue, key, page) as SliceRow[];
      const same = rows.filter((row) => row.priority === priority);
      for (const row of same) {
        if (most <= 0 || this.#full) break;
        const taken = this.#take(row, most, false);
        most -= taken;
        now += taken;
      }
      if (most > 0 && !this.#full && same.length === page) continue;
      this.#leave(key, now, now >= cap);
      return;
    }
  }

  /** Writes down where a key stands after its turn. */
  #leave(key: string, running: number, blocked: boolean): void {
    const { sql } = this.#tx;
    const { queue } = this.#claim;
    const [next] = sql.firstReadySlices.all(queue, key, 1) as SliceRow[];
    const count = key === "" ? 0 : running;
    const open = next !== undefined && !blocked ? 1 : 0;
    // What blocks the key ends: then it is looked at again.
    const priority = next?.priority ?? Number.MAX_SAFE_INTEGER;
    sql.saveKey.run(priority, this.#tx.nextTurn(), count, open, queue, key);
    if (next === undefined && count === 0 && key !== "") sql.forgetKey.run(queue, key);
  }

  /** Leases up to `most` tasks of a slice, as far as their bytes have room. Returns how many. */
  #take(row: SliceRow, most: number, alone: boolean): number {
    const texts = new TaskTexts(this.#tx.sql, row.chunk);
    const all = heldIndices(row);
    const some = all.length > most ? all.slice(0, most) : all;
    const fitting = texts.fit(some, this.#bytes, this.#claimer.claimed.length === 0);
    if (fitting < some.length) this.#full = true;
    if (fitting === 0) return 0;
    const indices = fitting < some.length ? some.slice(0, fitting) : some;
    const { text, bytes } = texts.joined(compact(indices), indices.length);
    const owner = this.#claimer.incarnation;
    const { batch, token } = leaseFirst(this.#tx.sql, row, indices.length, { owner, alone });
    const { queue, chunk, attempt, crashes } = row;
    const payload = text;
    const lane = texts.group;
    const slice = { batch, token, queue, chunk, indices, payload, lane, attempt, crashes, alone };
    this.#claimer.claimed.push(slice);
    this.#free -= indices.length;
    this.#places -= indices.length;
    this.#room -= indices.length;
    this.#bytes -= bytes;
    this.#taken += indices.length;
    return indices.length;
  }

  #note(): void {
    noteDeliveries(this.#tx, this.#claim.queue, this.#claim.throttle, this.#taken);
    this.#taken = 0;
  }

  /** Suspects of the key run; it may have no row, for they are in no line. */
  #started(key: string, tasks: number): void {
    const last = Number.MAX_SAFE_INTEGER;
    this.#tx.sql.tasksStarted.run(this.#claim.queue, key, last, this.#tx.nextTurn(), tasks);
  }

  /** True when something waits that only the limits of this process hold back. */
  #isMore(): boolean {
    if (this.#places === 0 || this.#room === 0) return false;
    if (this.#unseen) return true;
    return (this.#free === 0 || this.#full) && this.#isAnyOpen();
  }

  #isAnyOpen(): boolean {
    return this.#tx.sql.anyOpenKey.get(this.#claim.queue) !== undefined;
  }

  #nextAt(): number | null {
    const { sql, now } = this.#tx;
    const { queue, throttle } = this.#claim;
    const { at } = sql.nextDelayed.get(queue) as { readonly at: number | null };
    const { freesAt } = roomOf(sql, queue, throttle, now);
    if (freesAt === null) return at === null ? null : Math.max(at, now);
    if (this.#isAnyOpen() || this.#suspects(1).length > 0) return freesAt;
    return at === null ? null : Math.max(at, freesAt);
  }
}
