/** What a conformance case works with: a storage, its clock, and short words for long requests. */
import assert from "node:assert/strict";

import { joinItems, splitItems } from "../../core/codec.ts";
import { hasCode, type ErrorCode, type StoredError } from "../../core/errors.ts";
import type { Lease } from "../../core/lease.ts";
import { itemIds } from "../../core/members.ts";
import type { Outcome } from "../../core/settle.ts";
import type {
  AppendedChunk,
  ClaimedBatch,
  Exchanged,
  NewChunk,
  Payload,
  QueueClaim,
  Settlement,
  Storage,
} from "../../storage/storage.ts";
import type { ManualClock } from "../manual-clock.ts";

/** A storage made for one case. */
export interface OpenedStorage {
  readonly storage: Storage;
  readonly clock: ManualClock;
  /** Another storage object on the same data, as a second process would have; not opened yet. */
  readonly second: () => Promise<Storage>;
  /** Closes whatever is open and removes the data. */
  readonly close: () => Promise<void>;
}

/** In what storages may rightly differ; the suite holds each to its own kind of promise. */
export interface StorageTraits {
  /** Whose clock storage time is: each process's own, kept from running back, or the database's. */
  readonly time: "process" | "database";
  /** Whether what runs in `transact` writes at once or has to be waited for. */
  readonly transactions: "sync" | "async";
  /** Whether `changed` knows of each commit of others, or others announce what there is to do. */
  readonly news: "exact" | "announced";
}

/** Cases by title. */
export type Cases = Readonly<Record<string, (t: Fixture) => Promise<void>>>;

/** Where and when appended items go. */
export interface Into {
  readonly group?: string;
  readonly dueInMs?: number;
}

/** What a worker claims with; the caps default to 10 items and nothing else. */
export interface Claiming extends Partial<Omit<QueueClaim, "queue">> {
  readonly alone?: boolean;
  readonly settlements?: readonly Settlement[];
}

export const DONE: Outcome = { kind: "done" };

/** An error as a handler's failure would be stored. */
export const FAILURE: StoredError = { name: "Error", message: "no luck" };

/** Items wait this long unless a case says otherwise. */
export const WAIT_MS = 1000;

/** Leases last this long unless a case says otherwise. */
export const LEASE_MS = 15_000;

/** One process: an incarnation on a storage. */
export class Worker {
  readonly storage: Storage;
  readonly incarnation: number;

  constructor(storage: Storage, incarnation: number) {
    this.storage = storage;
    this.incarnation = incarnation;
  }

  /** Claims from one queue. */
  async exchange(queue: number, claiming: Claiming = {}): Promise<Exchanged> {
    const { alone = false, settlements = [], ...caps } = claiming;
    const claim: QueueClaim = {
      queue,
      maxSize: 10,
      maxBytes: Number.POSITIVE_INFINITY,
      groupConcurrency: Number.POSITIVE_INFINITY,
      limit: 100,
      ...caps,
    };
    const { incarnation } = this;
    return this.storage.exchange({ incarnation, settlements, claims: [claim], alone });
  }

  async claim(queue: number, claiming?: Claiming): Promise<readonly ClaimedBatch[]> {
    return (await this.exchange(queue, claiming)).claimed;
  }

  /** Claims what must be exactly one batch. */
  async claimOne(queue: number, claiming?: Claiming): Promise<ClaimedBatch> {
    const claimed = await this.claim(queue, claiming);
    assert.equal(claimed.length, 1, "exactly one batch is claimable");
    return claimed[0] as ClaimedBatch;
  }

  async settle(lease: Lease, outcome: Outcome): Promise<"settled" | "lost"> {
    const { incarnation } = this;
    const settlements = [settlement(lease, outcome)];
    const request = { incarnation, settlements, claims: [], alone: false };
    const [answer] = (await this.storage.exchange(request)).settled;
    return answer as "settled" | "lost";
  }

  /** Settles each as done, all of which must count. */
  async done(batches: readonly Lease[]): Promise<void> {
    for (const batch of batches) assert.equal(await this.settle(batch, DONE), "settled");
  }
}

export class Fixture {
  readonly storage: Storage;
  readonly clock: ManualClock;
  readonly traits: StorageTraits;
  readonly #second: OpenedStorage["second"];

  private constructor({ storage, clock, second }: OpenedStorage, traits: StorageTraits) {
    this.storage = storage;
    this.traits = traits;
    this.clock = clock;
    this.#second = second;
  }

  static async open(opened: OpenedStorage, traits: StorageTraits): Promise<Fixture> {
    await opened.storage.open({ clock: opened.clock });
    return new Fixture(opened, traits);
  }

  /** A second storage on the same data, open; with its own clock where one is given. */
  async second(clock: ManualClock = this.clock): Promise<Storage> {
    const storage = await this.#second();
    await storage.open({ clock });
    return storage;
  }

  async queue(name = "orders", notify = false): Promise<number> {
    const [info] = await this.storage.define([{ name, notify }]);
    return (info as { readonly id: number }).id;
  }

  async worker(storage: Storage = this.storage, leaseMs = LEASE_MS): Promise<Worker> {
    return new Worker(storage, await storage.enroll(leaseMs));
  }

  chunk(queue: number, items: readonly unknown[], into: Into = {}): NewChunk {
    const { group = "", dueInMs = WAIT_MS } = into;
    const texts = items.map((item) => JSON.stringify(item));
    let bytes = 0;
    for (const text of texts) bytes += Buffer.byteLength(text);
    const payload = this.storage.payload === "text" ? joinItems(texts) : items;
    return { queue, group, count: items.length, bytes, payload, dueInMs };
  }

  /** Appends the items as one chunk. */
  async add(queue: number, items: readonly unknown[], into?: Into): Promise<AppendedChunk> {
    const [chunk] = await this.storage.append([this.chunk(queue, items, into)]);
    return chunk as AppendedChunk;
  }

  /** Appends each item as a chunk of its own, in one commit. */
  async addEach(queue: number, items: readonly unknown[], into?: Into): Promise<void> {
    await this.storage.append(items.map((item) => this.chunk(queue, [item], into)));
  }

  /** Moves the clock. */
  async pass(ms: number): Promise<void> {
    await this.clock.advance(ms);
  }

  /** The claimed batch of these items, added and waited for. */
  async claimedBatch(
    worker: Worker,
    queue: number,
    items: readonly unknown[],
  ): Promise<ClaimedBatch> {
    await this.add(queue, items, { dueInMs: 0 });
    return worker.claimOne(queue, { maxSize: Math.max(10, items.length) });
  }

  /** Kills a worker, as far as a storage can tell: its lease runs out and `reaper` finds it so. */
  async crash(worker: Worker, maxCrashes = 3): Promise<number> {
    const others = LEASE_MS + 1;
    await this.pass(others);
    const reaped = await worker.storage.reap(maxCrashes);
    assert.ok(reaped.incarnations.includes(worker.incarnation), "the worker is declared dead");
    return reaped.dead;
  }

  /** Settles one item of a new batch as dead, in this group. */
  async bury(worker: Worker, queue: number, items: readonly unknown[], group = ""): Promise<void> {
    await this.add(queue, items, { group, dueInMs: 0 });
    const batch = await worker.claimOne(queue, { maxSize: Math.max(10, items.length) });
    const dead = items.map((_item, position) => ({ position, error: FAILURE }));
    const outcome: Outcome = { kind: "split", children: [], dead, error: FAILURE };
    assert.equal(await worker.settle(batch, outcome), "settled");
  }
}

export function settlement(lease: Lease, outcome: Outcome): Settlement {
  return { batch: lease.batch, token: lease.token, outcome };
}

/** The outcome that tries the whole batch again. */
export function again(attempt: number, delayMs = 0): Outcome {
  return { kind: "again", attempt, delayMs, error: FAILURE };
}

/** The outcome that goes on with these positions, each list as a batch. */
export function children(lists: readonly (readonly number[])[], attempt = 2): Outcome {
  const parts = lists.map((positions) => ({ positions, attempt, delayMs: 0, error: FAILURE }));
  return { kind: "split", children: parts, dead: [], error: FAILURE };
}

/** The items of one payload. */
export function decode(payload: Payload): unknown[] {
  if (typeof payload !== "string") return [...payload];
  return splitItems(payload).map((text): unknown => JSON.parse(text));
}

/** The items of a batch, in order; checks on the way that all its numbers agree. */
export function items(batch: ClaimedBatch): unknown[] {
  assert.equal(batch.payloads.length, batch.members.length, "one payload per member");
  const found = batch.payloads.flatMap(decode);
  assert.equal(found.length, batch.count, "as many items as it counts");
  assert.equal(itemIds(batch.members).length, batch.count, "as many ids as it counts");
  return found;
}

/** The items of each batch. */
export function contents(batches: readonly ClaimedBatch[]): unknown[][] {
  return batches.map(items);
}

/** The numbers from `from` on, as items. */
export function numbers(count: number, from = 0): number[] {
  return Array.from({ length: count }, (_, n) => from + n);
}

/** In ascending order, for answers whose order is not promised. */
export function sorted<T extends string | number>(values: readonly T[]): T[] {
  return values.toSorted((a, b) => Number(a > b) - Number(a < b));
}

/** Checks that each is greater than the one before. */
export function ascends(values: readonly number[]): void {
  for (const [n, value] of values.entries()) {
    assert.ok(n === 0 || value > (values[n - 1] as number), `${values.join(", ")} ascends`);
  }
}

/** Checks that `promise` rejects with one of these codes. */
export async function rejectsWith(
  promise: Promise<unknown>,
  ...codes: readonly ErrorCode[]
): Promise<void> {
  await assert.rejects(promise, (error) => codes.some((code) => hasCode(error, code)));
}

/** Checks that `fn` throws with one of these codes. */
export function throwsWith(fn: () => unknown, ...codes: readonly ErrorCode[]): void {
  assert.throws(fn, (error) => codes.some((code) => hasCode(error, code)));
}
