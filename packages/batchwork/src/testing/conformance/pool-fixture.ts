/** What the cases of pools work with. */
import assert from "node:assert/strict";

import { joinItems } from "../../core/codec.ts";
import { laneName } from "../../core/lane.ts";
import { itemId } from "../../core/members.ts";
import type {
  ClaimedSlice,
  FoundTask,
  PoolClaim,
  PoolDefinition,
  PoolExchanged,
  TaskSettlement,
} from "../../storage/pools.ts";
import type { Payload, Storage } from "../../storage/storage.ts";
import { decode, LEASE_MS, type Fixture } from "./fixture.ts";

/** What a pool claims with; nothing is limited. */
export interface TaskClaiming extends Partial<Omit<PoolClaim, "queue">> {
  readonly alone?: boolean;
  readonly settlements?: readonly TaskSettlement[];
}

/** Where and when tasks go. */
export interface TaskInto {
  readonly priority?: number;
  readonly serialKey?: string;
  readonly delayMs?: number;
}

/** Results are kept this long. */
export const TTL_MS = 60_000;

/** A pool, and the queue that is told of its tasks. */
export interface TestPool {
  readonly queue: number;
  readonly told: number;
}

export async function pool(
  t: Fixture,
  name = "emails",
  more: Partial<PoolDefinition> = {},
): Promise<TestPool> {
  const queue = await t.queue(name);
  const told = await t.queue(`${name}-ended`);
  await t.storage.pools.define([{ queue, callbacks: told, resultTtlMs: TTL_MS, ...more }]);
  return { queue, told };
}

/** Enqueues tasks as one chunk and returns its id. */
export async function enqueue(
  t: Fixture,
  { queue }: TestPool,
  tasks: readonly unknown[],
  { priority = 0, serialKey = "", delayMs = 0 }: TaskInto = {},
): Promise<number> {
  const group = laneName({ priority, serialKey });
  return (await t.add(queue, tasks, { group, dueInMs: delayMs })).id;
}

/** One process that runs tasks. */
export class TaskWorker {
  readonly storage: Storage;
  readonly incarnation: number;

  constructor(storage: Storage, incarnation: number) {
    this.storage = storage;
    this.incarnation = incarnation;
  }

  static async enroll(t: Fixture, storage: Storage = t.storage): Promise<TaskWorker> {
    return new TaskWorker(storage, await storage.enroll(LEASE_MS));
  }

  async exchange({ queue }: TestPool, claiming: TaskClaiming = {}): Promise<PoolExchanged> {
    const { alone = false, settlements = [], ...caps } = claiming;
    const none = Number.POSITIVE_INFINITY;
    const unlimited = { maxBytes: none, maxParallelism: none, concurrencyPerKey: none };
    const claim = { queue, limit: 1000, ...unlimited, ...caps };
    const { incarnation } = this;
    return this.storage.pools.exchange({ incarnation, settlements, claims: [claim], alone });
  }

  async claim(from: TestPool, claiming?: TaskClaiming): Promise<readonly ClaimedSlice[]> {
    return (await this.exchange(from, claiming)).claimed;
  }

  /** Claims what must be exactly one slice. */
  async claimOne(from: TestPool, claiming?: TaskClaiming): Promise<ClaimedSlice> {
    const claimed = await this.claim(from, claiming);
    assert.equal(claimed.length, 1, "exactly one slice is claimable");
    return claimed[0] as ClaimedSlice;
  }

  async settle(...settlements: readonly TaskSettlement[]): Promise<PoolExchanged> {
    const { incarnation } = this;
    return this.storage.pools.exchange({ incarnation, settlements, claims: [], alone: false });
  }

  /** Settles each task of these slices as succeeded, all of which must count. */
  async done(slices: readonly ClaimedSlice[]): Promise<void> {
    const { settled } = await this.settle(...slices.map((slice) => succeeded(slice)));
    assert.deepEqual(
      settled,
      Array.from(slices, () => "settled"),
    );
  }

  /** Kills the process, as far as a storage can tell. Returns how many tasks died. */
  async crash(t: Fixture, maxCrashes = 3): Promise<number> {
    await t.pass(LEASE_MS + 1);
    const reaped = await this.storage.reap(maxCrashes);
    assert.ok(reaped.incarnations.includes(this.incarnation), "the worker is declared dead");
    return reaped.dead;
  }
}

/** The tasks of a slice that succeeded, by default all; without values. */
export function succeeded(
  slice: ClaimedSlice,
  done: readonly number[] = slice.indices,
  more: Partial<TaskSettlement> = {},
): TaskSettlement {
  const { batch, token } = slice;
  return { batch, token, done, values: null, again: [], dead: [], callbacks: null, ...more };
}

/** Values as the storage keeps them. */
export function values(t: Fixture, given: readonly unknown[]): Payload {
  if (t.storage.payload === "reference") return given;
  return joinItems(given.map((value) => JSON.stringify(value)));
}

/** The tasks of slices, in the order in which they were claimed. */
export function tasks(slices: readonly ClaimedSlice[]): unknown[] {
  return slices.flatMap((slice) => {
    const found = decode(slice.payload);
    assert.equal(found.length, slice.indices.length, "as many tasks as indices");
    return found;
  });
}

/** The ids of the tasks of a slice. */
export function ids({ chunk, indices }: ClaimedSlice): string[] {
  return indices.map((index) => itemId(chunk, index));
}

export async function find(t: Fixture, from: TestPool, id: string): Promise<FoundTask> {
  const [found] = await t.storage.pools.findTasks(from.queue, [id]);
  return found as FoundTask;
}

/** What waits in the queue that is told; takes it out. */
export async function told(t: Fixture, { told: queue }: TestPool): Promise<unknown[]> {
  const worker = await t.worker();
  const batches = await worker.claim(queue, { maxSize: 10_000 });
  await worker.done(batches);
  return batches.flatMap(({ payloads }) => payloads.flatMap(decode));
}

/** Claims and settles until nothing is left; returns the tasks in the order of their claims. */
export async function drain(
  worker: TaskWorker,
  from: TestPool,
  claiming?: TaskClaiming,
): Promise<unknown[]> {
  const ran: unknown[] = [];
  for (;;) {
    const claimed = await worker.claim(from, claiming);
    if (claimed.length === 0) return ran;
    ran.push(...tasks(claimed));
    await worker.done(claimed);
  }
}
