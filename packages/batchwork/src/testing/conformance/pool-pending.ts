/** Limits on what is pending in pools: a task counts until it is settled. */
import assert from "node:assert/strict";

import { laneName } from "../../core/lane.ts";
import type { PendingLimit } from "../../core/pending.ts";
import { addLimited, atMost, PLAIN, refused, UNLIMITED } from "./definition-fixture.ts";
import { FAILURE, numbers, WAIT_MS, type Cases, type Fixture } from "./fixture.ts";
import {
  drain,
  enqueue,
  pool,
  succeeded,
  tasks,
  TaskWorker,
  type TaskInto,
  type TestPool,
} from "./pool-fixture.ts";

async function propose(t: Fixture, { queue }: TestPool, limit: PendingLimit | null): Promise<void> {
  await t.storage.propose([{ queue, version: 1, settings: { ...PLAIN, maxPending: limit } }]);
}

async function limitedPool(t: Fixture, limit: PendingLimit, name = "emails"): Promise<TestPool> {
  const made = await pool(t, name);
  await propose(t, made, limit);
  return made;
}

/** Enqueues tasks as one chunk that has the limit. */
async function put(
  t: Fixture,
  { queue }: TestPool,
  limit: PendingLimit,
  given: readonly unknown[],
  { priority = 0, serialKey = "", delayMs = 0 }: TaskInto = {},
): Promise<void> {
  const group = laneName({ priority, serialKey });
  await addLimited(t, queue, limit, given, { group, dueInMs: delayMs });
}

async function pendingTasks(t: Fixture, { queue }: TestPool): Promise<number> {
  return (await t.storage.pending(queue)).items;
}

export const poolPendingCases: Cases = {
  "what waits, is delayed, runs or is tried again counts, and what is settled does not": async (
    t,
  ) => {
    const limit = atMost(6);
    const emails = await limitedPool(t, limit);
    await put(t, emails, limit, numbers(4));
    await put(t, emails, limit, [4, 5], { delayMs: WAIT_MS, serialKey: "k" });
    assert.equal((await refused(put(t, emails, limit, [1]))).items, 0);
    const worker = await TaskWorker.enroll(t);
    const slice = await worker.claimOne(emails, { limit: 3 });
    await refused(put(t, emails, limit, [1]));
    const again = [{ indices: [1], attempt: 2, delayMs: WAIT_MS }];
    await worker.settle(succeeded(slice, [0], { again, dead: [{ index: 2, error: FAILURE }] }));
    assert.equal(await pendingTasks(t, emails), 4);
    assert.equal((await refused(put(t, emails, limit, numbers(3)))).items, 2);
    await put(t, emails, limit, [6, 7]);
    await t.pass(WAIT_MS);
    assert.equal((await drain(worker, emails)).length, 6);
    assert.equal(await pendingTasks(t, emails), 0);
    await put(t, emails, limit, numbers(6));
  },

  "each task of a chunk stops counting when it is settled, not when the chunk is over": async (
    t,
  ) => {
    const limit = { items: 10, bytes: 20 };
    const emails = await limitedPool(t, limit);
    await put(t, emails, limit, numbers(10));
    const worker = await TaskWorker.enroll(t);
    const slice = await worker.claimOne(emails);
    for (let n = 0; n < 9; n++) {
      await worker.settle(succeeded(slice, [n]));
      assert.deepEqual(await t.storage.pending(emails.queue), { items: 9 - n, bytes: 9 - n });
    }
    await put(t, emails, limit, numbers(9));
    await refused(put(t, emails, limit, [1]));
  },

  "bytes of tasks are limited as tasks are": async (t) => {
    const limit = { items: UNLIMITED, bytes: 10 };
    const emails = await limitedPool(t, limit);
    await put(t, emails, limit, ["1234"]);
    assert.equal((await refused(put(t, emails, limit, ["123"]))).bytes, 4);
    await put(t, emails, limit, ["12"]);
    const worker = await TaskWorker.enroll(t);
    await drain(worker, emails);
    await put(t, emails, limit, ["12345678"]);
  },

  "tasks of all lanes count together, and pools by themselves": async (t) => {
    const limit = atMost(3);
    const emails = await limitedPool(t, limit);
    const other = await limitedPool(t, limit, "other");
    await put(t, emails, limit, [1], { priority: -1 });
    await put(t, emails, limit, [2], { serialKey: "k" });
    await put(t, emails, limit, [3], { priority: 7, serialKey: "l" });
    await refused(put(t, emails, limit, [4], { priority: 1 }));
    await put(t, other, limit, numbers(3));
    await enqueue(t, await pool(t, "free"), numbers(10));
  },

  "a task that is cancelled before it runs makes room at once": async (t) => {
    const limit = atMost(4);
    const emails = await limitedPool(t, limit);
    await put(t, emails, limit, numbers(3));
    await put(t, emails, limit, [3], { delayMs: WAIT_MS });
    const worker = await TaskWorker.enroll(t);
    const [slice] = await worker.claim(emails, { limit: 1 });
    const { pools } = t.storage;
    await pools.cancel(emails.queue, [`${slice?.chunk ?? 0}:1`]);
    assert.equal(await pendingTasks(t, emails), 3);
    assert.equal((await pools.cancelAll(emails.queue, 100)).canceled, 3);
    assert.equal(await pendingTasks(t, emails), 1, "the one that runs");
    await put(t, emails, limit, numbers(3));
    await refused(put(t, emails, limit, [1]));
  },

  "a task that is cancelled while it runs makes room when its process is done with it": async (
    t,
  ) => {
    const limit = atMost(4);
    const emails = await limitedPool(t, limit);
    await put(t, emails, limit, numbers(4));
    const worker = await TaskWorker.enroll(t);
    const settling = await worker.claimOne(emails, { limit: 2 });
    const releasing = await worker.claimOne(emails, { limit: 2 });
    await t.storage.pools.cancelAll(emails.queue, 100);
    assert.equal(await pendingTasks(t, emails), 4);
    await worker.settle(succeeded(settling));
    assert.equal(await pendingTasks(t, emails), 2);
    await worker.storage.pools.release([releasing]);
    assert.equal(await pendingTasks(t, emails), 0);
    await put(t, emails, limit, numbers(4));
  },

  "dead letters do not count; those that are put back do, and are never refused": async (t) => {
    const limit = atMost(2);
    const emails = await limitedPool(t, limit);
    const worker = await TaskWorker.enroll(t);
    const bury = async (): Promise<void> => {
      await put(t, emails, limit, ["a", "b"]);
      const slice = await worker.claimOne(emails);
      const dead = slice.indices.map((index) => ({ index, error: FAILURE }));
      await worker.settle(succeeded(slice, [], { dead }));
    };
    await bury();
    assert.equal(await pendingTasks(t, emails), 0);
    assert.equal(await t.storage.discard(emails.queue, "all"), 2);
    await bury();
    await put(t, emails, limit, ["c"]);
    assert.equal(await t.storage.redrive(emails.queue, "all"), 2);
    assert.equal(await pendingTasks(t, emails), 3);
    await refused(put(t, emails, limit, ["d"]));
    assert.equal((await drain(worker, emails)).length, 3);
    await put(t, emails, limit, ["d", "e"]);
  },

  "a crash makes no room, nor does giving back; death by a crash does": async (t) => {
    const limit = atMost(1);
    const emails = await limitedPool(t, limit);
    await put(t, emails, limit, ["deadly"]);
    const first = await TaskWorker.enroll(t);
    await first.storage.pools.release([await first.claimOne(emails)]);
    await refused(put(t, emails, limit, [1]));
    // The first death makes a suspect of it; those after it count.
    for (const deadly of [0, 0, 1]) {
      const worker = await TaskWorker.enroll(t);
      await worker.claimOne(emails, { alone: true });
      assert.equal(await worker.crash(t, 2), deadly);
      if (deadly === 0) await refused(put(t, emails, limit, [1]));
    }
    assert.equal(await pendingTasks(t, emails), 0);
    await put(t, emails, limit, [1]);
  },

  "a limit that comes up counts what is there, and one that goes counts no more": async (t) => {
    const limit = atMost(4);
    const emails = await pool(t);
    await enqueue(t, emails, numbers(2));
    const worker = await TaskWorker.enroll(t);
    const slice = await worker.claimOne(emails);
    await worker.settle(succeeded(slice, [1]));
    await enqueue(t, emails, [2], { delayMs: WAIT_MS });
    await propose(t, emails, limit);
    assert.equal(await pendingTasks(t, emails), 2);
    await put(t, emails, limit, [3, 4]);
    await refused(put(t, emails, limit, [5]));
    await propose(t, emails, null);
    await enqueue(t, emails, numbers(10));
    assert.equal(await pendingTasks(t, emails), 14);
  },

  "of two processes together, never more tasks than the limit are pending": async (t) => {
    const limit = atMost(20);
    const emails = await limitedPool(t, limit);
    const second = await t.second();
    const worker = await TaskWorker.enroll(t);
    for (let round = 0; round < 3; round++) {
      const fill = async (storage = t.storage): Promise<void> => {
        const group = laneName({ priority: 0, serialKey: "" });
        for (;;) {
          await addLimited(t, emails.queue, limit, [1], { storage, group });
        }
      };
      await Promise.all([refused(fill()), refused(fill(second))]);
      const pending = await pendingTasks(t, emails);
      assert.ok(pending <= 20, `${pending} are pending of at most 20`);
      // What the other might still have added is free once it did not.
      await t.pass(16_000);
      await refused(fill());
      assert.equal(await pendingTasks(t, emails), 20);
      await worker.storage.heartbeat(worker.incarnation, 60_000);
      const half = await worker.claim(emails, { limit: 10 });
      assert.equal(tasks(half).length, 10);
      await worker.done(half);
      assert.equal(await pendingTasks(t, emails), 10);
    }
  },
};
