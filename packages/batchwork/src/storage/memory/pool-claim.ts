/** Claiming from one pool: whose turn it is, and what it gets. */
import { fitCount } from "../../core/flush.ts";
import { compact } from "../../core/members.ts";
import { nextToken } from "../../core/lease.ts";
import type { ClaimedSlice, PoolClaim } from "../pools.ts";
import type { Payload } from "../storage.ts";
import { itemSizes, pick } from "./payload.ts";
import type { Scene } from "./pool-ends.ts";
import type { KeyLine, Pool } from "./pool.ts";
import type { Queue } from "./queue.ts";
import type { Slice } from "./slice.ts";

/** Keys that take turns at a time. */
const ROUND_MAX = 256;

export interface PoolClaimer {
  readonly incarnation: number;
  readonly claimed: ClaimedSlice[];
}

/** One claim on one pool. */
export class PoolTurn {
  readonly #queue: Queue;
  readonly #pool: Pool;
  readonly #claim: PoolClaim;
  readonly #claimer: PoolClaimer;
  readonly #now: number;
  #places: number;
  #room: number;
  #free: number;
  #bytes: number;
  #taken = 0;
  /** The next task is too large for what is left of the bytes. */
  #full = false;

  constructor({ data, now }: Scene, pool: Pool, claim: PoolClaim, claimer: PoolClaimer) {
    const queue = data.queue(claim.queue);
    queue.throttle = claim.throttle ?? null;
    this.#queue = queue;
    this.#pool = pool;
    this.#claim = claim;
    this.#claimer = claimer;
    this.#now = now;
    this.#places = Math.max(0, (pool.parallelism ?? claim.maxParallelism) - pool.running);
    this.#room = queue.room(now);
    this.#free = claim.limit;
    this.#bytes = claim.maxBytes;
  }

  get isFree(): boolean {
    return this.#free > 0;
  }

  /** Claims up to the limits. */
  claim(): void {
    while (this.#capacity() > 0 && this.#serveKeys());
    this.#note();
  }

  /** The suspect that has waited longest, if one may start now. */
  firstSuspect(): Slice | null {
    if (this.#places === 0 || this.#room === 0) return null;
    return this.#pool.suspects.find((slice) => this.#mayStart(slice) > 0) ?? null;
  }

  /** Claims suspects, as many as may keep each other company. */
  claimSuspects(): void {
    let company = Number.POSITIVE_INFINITY;
    // What is claimed leaves the list.
    const suspects = [...this.#pool.suspects];
    for (const slice of suspects) {
      company = Math.min(company, slice.company as number);
      const free = Math.min(this.#capacity(), company - this.#taken);
      const most = Math.min(free, this.#mayStart(slice));
      if (most > 0) this.#take(slice, most, true);
    }
    this.#note();
  }

  /** True when something waits that only the limits of this process hold back. */
  get isMore(): boolean {
    if (this.#places === 0 || this.#room === 0) return false;
    return (this.#free === 0 || this.#full) && this.#isAnyOpen();
  }

  get nextAt(): number | null {
    const at = this.#pool.delayed.peek()?.at ?? null;
    const freesAt = this.#queue.throttledUntil(this.#now);
    if (freesAt === null) return at;
    if (this.#isAnyOpen() || this.#pool.suspects.length > 0) return freesAt;
    return at === null ? null : Math.max(at, freesAt);
  }

  #isAnyOpen(): boolean {
    return this.#pool.line.size > 0;
  }

  /** How many tasks of its key may start. */
  #mayStart({ origin }: Slice): number {
    return this.#keyRoom(this.#pool.keys.get(origin.serialKey), origin.serialKey);
  }

  #keyRoom(line: KeyLine | undefined, key: string): number {
    if (key === "") return Number.POSITIVE_INFINITY;
    return this.#claim.concurrencyPerKey - (line?.running ?? 0);
  }

  #capacity(): number {
    return this.#full ? 0 : Math.min(this.#free, this.#places, this.#room);
  }

  /** Gives each key in line, of those that go first, its share. False when none is in line. */
  #serveKeys(): boolean {
    const { line } = this.#pool;
    const capacity = this.#capacity();
    const round: KeyLine[] = [];
    for (let first = line.peek(); first !== undefined; first = line.peek()) {
      if (round.length >= Math.min(capacity, ROUND_MAX)) break;
      if (first.at !== (round[0] ?? first).at) break;
      line.remove(first);
      round.push(first);
    }
    const share = Math.max(1, Math.floor(capacity / round.length));
    const late: KeyLine[] = [];
    for (const key of round) {
      if (this.#capacity() === 0) late.push(key);
      else this.#serve(key, Math.min(share, this.#capacity()));
    }
    for (const key of late) line.push(key);
    return round.length > 0;
  }

  /** Takes up to `share` tasks of a key, and puts it at the end of its line. */
  #serve(key: KeyLine, share: number): void {
    const { at: priority, ready } = key;
    let most = Math.min(share, this.#keyRoom(key, key.key));
    for (let first = ready[0]; first !== undefined && most > 0; first = ready[0]) {
      if (first.origin.priority !== priority || this.#full) break;
      most -= this.#take(first, most, false);
    }
    key.order = this.#pool.nextTurn();
    // What blocks the key ends: then it is looked at again.
    if (this.#keyRoom(key, key.key) > 0) this.#pool.open(key);
    else this.#pool.line.remove(key);
  }

  /** Leases up to `most` tasks of a slice, as far as their bytes have room. Returns how many. */
  #take(slice: Slice, most: number, alone: boolean): number {
    const { chunk, lane } = slice.origin;
    const some = slice.indices.slice(0, most);
    const { payload: all, count } = chunk;
    const sizes = typeof all === "string" || Number.isFinite(this.#bytes) ? itemSizes(chunk) : [];
    const needed = some.map((index) => sizes[index] ?? 0);
    const room = { items: some.length, bytes: this.#bytes };
    const fitting = fitCount(needed, room, this.#claimer.claimed.length === 0);
    if (fitting < some.length) this.#full = true;
    if (fitting === 0) return 0;
    const indices = some.slice(0, fitting);
    for (const bytes of needed.slice(0, fitting)) this.#bytes -= bytes;
    const leased = this.#lease(slice, indices, alone);
    this.#free -= fitting;
    this.#places -= fitting;
    this.#room -= fitting;
    this.#taken += fitting;
    const { id: batch, token, attempt, crashes } = leased;
    const { queue } = this.#claim;
    const payload: Payload = count === fitting ? all : pick(chunk, compact(indices));
    const what = { queue, chunk: chunk.id, indices, payload, lane, attempt, crashes, alone };
    this.#claimer.claimed.push({ batch, token, ...what });
    return fitting;
  }

  /** Leases a slice, or a new one with the first of its tasks. */
  #lease(slice: Slice, indices: readonly number[], alone: boolean): Slice {
    const pool = this.#pool;
    // Before it leaves: a key of which nothing waits or runs is forgotten.
    pool.started(slice, indices.length);
    let leased = slice;
    if (indices.length === slice.indices.length) pool.leave(slice);
    else {
      const { attempt, at } = slice;
      leased = pool.add(slice.origin, { indices, attempt, at });
      leased.company = slice.company;
      leased.crashes = slice.crashes;
      slice.indices = slice.indices.slice(indices.length);
    }
    leased.state = "leased";
    leased.token = nextToken(leased.token);
    leased.owner = this.#claimer.incarnation;
    leased.alone = alone;
    return leased;
  }

  #note(): void {
    if (this.#taken > 0 && this.#claim.throttle !== undefined) {
      this.#queue.deliveries.note(this.#now, this.#taken);
    }
    this.#taken = 0;
  }
}
