/** Processes that run tasks at random, and what must hold whatever they do. */
import assert from "node:assert/strict";

import { joinItems, splitItems } from "../../src/core/codec.ts";
import { laneName, laneOf } from "../../src/core/lane.ts";
import { itemId } from "../../src/core/members.ts";
import { QueueFullError } from "../../src/core/pending.ts";
import type { ClaimedSlice, PoolExchanged, TaskSettlement } from "../../src/storage/pools.ts";
import type { Storage } from "../../src/storage/storage.ts";
import { ManualClock } from "../../src/testing/manual-clock.ts";
import { seededRandom } from "../../src/testing/random.ts";

/** Leases last this long. */
const LEASE_MS = 15_000;

const MAX_PARALLELISM = 12;
const PER_KEY = 2;
const DELAYS = [0, 0, 0, 100, 3000];

/** Most tasks that may be pending; some of what is enqueued is refused. */
const LIMIT = { items: 40, bytes: Number.POSITIVE_INFINITY };

/** What is pending is counted after every so many steps. */
const COUNT_EVERY = 5;

/** What a campaign needs of its storage. */
interface Ground {
  /** One for each process, on the same data. */
  readonly storages: readonly Storage[];
  readonly pass: (ms: number) => Promise<void>;
}

/** What a process holds: the tasks of each lease that it has not settled yet. */
interface Held {
  readonly slice: ClaimedSlice;
  readonly left: Set<number>;
}

interface Process {
  readonly storage: Storage;
  incarnation: number;
  readonly held: Map<number, Held>;
}

/** Three processes on the same data. */
export async function campaign(
  open: (clock: ManualClock) => readonly Storage[],
  seed: number,
  steps: number,
): Promise<void> {
  const clock = new ManualClock();
  const storages = open(clock);
  for (const storage of storages) await storage.open({ clock });
  try {
    const pass = async (ms: number): Promise<void> => clock.advance(ms);
    await new PoolCampaign({ storages, pass }, seed).run(steps);
  } finally {
    for (const storage of storages) await storage.close();
  }
}

/** One campaign: `steps` random steps, then everything is run to its end. */
class PoolCampaign {
  readonly #ground: Ground;
  readonly #random: () => number;
  readonly #processes: Process[] = [];
  readonly #enqueued: string[] = [];
  /** How each task ended, as its owner or the canceller was told. */
  readonly #ended = new Map<string, string>();
  #queue = 0;
  #told = 0;
  /** Calls that had no room. */
  #refused = 0;

  constructor(ground: Ground, seed: number) {
    this.#ground = ground;
    this.#random = seededRandom(seed);
  }

  async run(steps: number): Promise<void> {
    await this.#begin();
    for (let n = 0; n < steps; n++) {
      await this.#step();
      if (n % COUNT_EVERY === 0) await this.#checkPending();
    }
    await this.#finish();
    await this.#check();
  }

  async #begin(): Promise<void> {
    const [storage] = this.#ground.storages as [Storage];
    const names = ["tasks", "told"].map((name) => ({ name, notify: false }));
    const [queue, told] = await storage.define(names);
    this.#queue = queue?.id as number;
    this.#told = told?.id as number;
    const resultTtlMs = Number.POSITIVE_INFINITY;
    await storage.pools.define([{ queue: this.#queue, callbacks: this.#told, resultTtlMs }]);
    const nothing = { throttle: null, completed: null, failed: null, groupConcurrency: 1 };
    const settings = { ...nothing, maxPending: LIMIT };
    await storage.propose([{ queue: this.#queue, version: 1, settings }]);
    for (const one of this.#ground.storages) {
      const incarnation = await one.enroll(LEASE_MS);
      this.#processes.push({ storage: one, incarnation, held: new Map() });
    }
  }

  async #step(): Promise<void> {
    const process = this.#pick(this.#processes);
    const dice = this.#random();
    if (dice < 0.2) await this.#enqueue(process);
    else if (dice < 0.75) await this.#exchange(process);
    else if (dice < 0.83) await this.#cancel(process);
    else if (dice < 0.88) await this.#release(process);
    else if (dice < 0.91) await this.#crash(process);
    else await this.#ground.pass(this.#pick([1, 100, 1000]));
  }

  async #enqueue({ storage }: Process): Promise<void> {
    const priority = this.#pick([0, 0, -1, 5]);
    const serialKey = this.#pick(["", "", "a", "b", "c"]);
    const count = 1 + Math.floor(this.#random() * 12);
    const texts = Array.from({ length: count }, (_, n) => JSON.stringify(n));
    const chunk = {
      queue: this.#queue,
      group: laneName({ priority, serialKey }),
      count,
      bytes: texts.join("").length,
      payload: joinItems(texts),
      dueInMs: this.#pick(DELAYS),
      limit: LIMIT,
    };
    try {
      const [appended] = await storage.append([chunk]);
      for (let n = 0; n < count; n++) this.#enqueued.push(itemId(appended?.id as number, n));
    } catch (error) {
      if (!(error instanceof QueueFullError)) throw error;
      this.#refused++;
    }
  }

  async #exchange(process: Process, end = false): Promise<void> {
    const settlements = [...process.held.values()].flatMap((held) => this.#settle(held, end));
    const idle = [...process.held.values()].every(({ slice, left }) => {
      const settled = settlements.find(({ batch }) => batch === slice.batch);
      return left.size === (settled === undefined ? 0 : namedIn(settled).length);
    });
    const claim = {
      queue: this.#queue,
      limit: end ? 100 : Math.floor(this.#random() * 8),
      maxBytes: this.#pick([Number.POSITIVE_INFINITY, 8]),
      maxParallelism: MAX_PARALLELISM,
      concurrencyPerKey: PER_KEY,
    };
    const { incarnation, storage } = process;
    const claims = [claim];
    const alone = idle && (end || this.#random() < 0.5);
    const answer = await storage.pools.exchange({ incarnation, settlements, claims, alone });
    this.#note(process, settlements, answer);
  }

  /** What was settled, less what had been cancelled; then what was claimed. */
  #note(process: Process, settlements: readonly TaskSettlement[], answer: PoolExchanged): void {
    for (const [n, settlement] of settlements.entries()) {
      const { slice, left } = process.held.get(settlement.batch) as Held;
      const canceled = answer.canceled.find(({ batch }) => batch === settlement.batch);
      for (const index of namedIn(settlement)) left.delete(index);
      if (left.size === 0) process.held.delete(settlement.batch);
      assert.equal(answer.settled[n], "settled");
      const counts = (index: number): boolean => canceled?.indices.includes(index) !== true;
      const end = (index: number, how: string): void => this.#end(itemId(slice.chunk, index), how);
      for (const index of settlement.done.filter(counts)) end(index, "success");
      for (const { index } of settlement.dead) if (counts(index)) end(index, "failed");
    }
    for (const slice of answer.claimed) {
      const texts = splitItems(slice.payload as string);
      assert.deepEqual(
        texts,
        slice.indices.map((index) => JSON.stringify(index)),
      );
      process.held.set(slice.batch, { slice, left: new Set(slice.indices) });
    }
    this.#checkLimits();
  }

  #settle({ slice, left }: Held, end: boolean): TaskSettlement[] {
    const some = [...left].filter(() => end || this.#random() < 0.5);
    if (some.length === 0) return [];
    const done: number[] = [];
    const again: number[] = [];
    const dead: number[] = [];
    for (const index of some) {
      const dice = this.#random();
      if (dice < 0.7 || (end && slice.attempt > 3)) done.push(index);
      else (dice < 0.9 ? again : dead).push(index);
    }
    const { batch, token, attempt, chunk } = slice;
    const error = { name: "Error", message: "no luck" };
    const ended = [...done, ...dead].toSorted((a, b) => a - b);
    const texts = ended.map((index) => JSON.stringify({ ended: itemId(chunk, index) }));
    const delayMs = this.#pick(DELAYS);
    return [
      {
        batch,
        token,
        done,
        values: done.length > 0 ? joinItems(done.map((index) => `"v${index}"`)) : null,
        again: again.length > 0 ? [{ indices: again, attempt: attempt + 1, delayMs }] : [],
        dead: dead.map((index) => ({ index, error })),
        callbacks: ended.length > 0 ? { indices: ended, payload: joinItems(texts) } : null,
      },
    ];
  }

  async #cancel({ storage }: Process): Promise<void> {
    if (this.#enqueued.length === 0) return;
    const ids = Array.from({ length: 3 }, () => this.#pick(this.#enqueued));
    const answers = await storage.pools.cancel(this.#queue, ids);
    for (const [n, answer] of answers.entries()) {
      const id = ids[n] as string;
      if (answer === "finished") assert.ok(this.#ended.has(id), id);
      else this.#end(id, "canceled");
      assert.notEqual(answer, "unknown");
    }
  }

  async #release({ storage, held }: Process): Promise<void> {
    const some = [...held.values()].filter(() => this.#random() < 0.5);
    await storage.pools.release(some.map(({ slice }) => slice));
    for (const { slice } of some) held.delete(slice.batch);
  }

  async #crash(process: Process): Promise<void> {
    await this.#ground.pass(LEASE_MS + 1);
    for (const other of this.#processes) {
      if (other !== process) await other.storage.heartbeat(other.incarnation, LEASE_MS);
    }
    const { incarnations } = await process.storage.reap(1000);
    assert.deepEqual(incarnations, [process.incarnation]);
    process.held.clear();
    process.incarnation = await process.storage.enroll(LEASE_MS);
  }

  /** Whatever happened to tasks: those count that are not over, and never more than may. */
  async #checkPending(): Promise<void> {
    const [storage] = this.#ground.storages as [Storage];
    const { items } = await storage.pending(this.#queue);
    const { waiting, delayed, running } = await storage.pools.counts(this.#queue);
    assert.equal(items, waiting + delayed + running);
    assert.ok(items <= LIMIT.items, `${items} are pending`);
  }

  #end(id: string, how: string): void {
    assert.equal(this.#ended.get(id), undefined, `${id} ended before, now ${how}`);
    this.#ended.set(id, how);
  }

  #checkLimits(): void {
    const keys = new Map<string, number>();
    let running = 0;
    for (const { held } of this.#processes) {
      for (const { slice, left } of held.values()) {
        const { serialKey } = laneOf(slice.lane);
        running += left.size;
        keys.set(serialKey, (keys.get(serialKey) ?? 0) + left.size);
      }
    }
    keys.delete("");
    assert.ok(running <= MAX_PARALLELISM, `${running} run`);
    assert.ok(Math.max(0, ...keys.values()) <= PER_KEY, JSON.stringify([...keys]));
  }

  async #finish(): Promise<void> {
    for (let rounds = 0; rounds < 2000 && this.#ended.size < this.#enqueued.length; rounds++) {
      for (const process of this.#processes) await this.#exchange(process, true);
      await this.#ground.pass(500);
      for (const { storage, incarnation } of this.#processes) {
        await storage.heartbeat(incarnation, LEASE_MS);
      }
    }
    // Cancelled tasks hold their places until they are settled.
    for (const process of this.#processes) await this.#exchange(process, true);
  }

  async #check(): Promise<void> {
    const [storage] = this.#ground.storages as [Storage];
    const found = await storage.pools.findTasks(this.#queue, this.#enqueued);
    for (const [n, task] of found.entries()) {
      const id = this.#enqueued[n] as string;
      const kind = task.status === "finished" ? task.kind : task.status;
      assert.equal(kind, this.#ended.get(id), id);
    }
    const counts = await storage.pools.counts(this.#queue);
    const { waiting, delayed, running, canceling } = counts;
    assert.deepEqual([waiting, delayed, running, canceling], [0, 0, 0, 0]);
    assert.deepEqual(await storage.pending(this.#queue), { items: 0, bytes: 0 });
    assert.ok(this.#refused > 0, "some had no room");
    const told = await this.#drainTold(storage);
    assert.deepEqual(told.toSorted(), this.#enqueued.toSorted());
  }

  async #drainTold(storage: Storage): Promise<string[]> {
    const { incarnation } = this.#processes[0] as Process;
    const none = Number.POSITIVE_INFINITY;
    const caps = { maxSize: 100_000, maxBytes: none, groupConcurrency: none, limit: 10 };
    const claims = [{ queue: this.#told, ...caps }];
    const request = { incarnation, settlements: [], claims, alone: false };
    const { claimed } = await storage.exchange(request);
    const settlements = claimed.map(({ batch, token }) => {
      return { batch, token, outcome: { kind: "done" } as const };
    });
    await storage.exchange({ incarnation, settlements, claims: [], alone: false });
    return claimed.flatMap(({ payloads }) =>
      payloads.flatMap((payload) =>
        splitItems(payload as string).map((text) => (JSON.parse(text) as { ended: string }).ended),
      ),
    );
  }

  #pick<T>(values: readonly T[]): T {
    return values[Math.floor(this.#random() * values.length)] as T;
  }
}

function namedIn({ done, again, dead }: TaskSettlement): number[] {
  const indices = [...done, ...dead.map(({ index }) => index)];
  for (const tasks of again) indices.push(...tasks.indices);
  return indices;
}
