/** Tasks of pools: what a claim gets, and how tasks are settled. */
import assert from "node:assert/strict";

import { numbers, rejectsWith, sorted, WAIT_MS, type Cases } from "./fixture.ts";
import {
  drain,
  enqueue,
  find,
  ids,
  pool,
  succeeded,
  tasks,
  TaskWorker,
  TTL_MS,
} from "./pool-fixture.ts";

export const poolCases: Cases = {
  "a claim cuts tasks to its limit, and the next one goes on behind them": async (t) => {
    const emails = await pool(t);
    await enqueue(t, emails, numbers(10));
    const worker = await TaskWorker.enroll(t);
    const first = await worker.exchange(emails, { limit: 3 });
    assert.deepEqual(tasks(first.claimed), [0, 1, 2]);
    assert.equal(first.more, true);
    assert.deepEqual(tasks(await worker.claim(emails, { limit: 4 })), [3, 4, 5, 6]);
    const last = await worker.exchange(emails, { limit: 4 });
    assert.deepEqual(tasks(last.claimed), [7, 8, 9]);
    assert.equal(last.more, false);
  },

  "a claim takes many chunks at once": async (t) => {
    const emails = await pool(t);
    for (const n of numbers(5)) await enqueue(t, emails, [n]);
    const worker = await TaskWorker.enroll(t);
    assert.deepEqual(tasks(await worker.claim(emails, { limit: 4 })), [0, 1, 2, 3]);
  },

  "a claim says what a slice is": async (t) => {
    const emails = await pool(t);
    const chunk = await enqueue(t, emails, ["a", "b", "c"], { priority: 7, serialKey: "k" });
    const worker = await TaskWorker.enroll(t);
    const slice = await worker.claimOne(emails);
    const { batch, token, ...rest } = slice;
    assert.ok(batch > 0 && token > 0);
    assert.deepEqual(tasks([slice]), ["a", "b", "c"]);
    assert.deepEqual(
      { ...rest, payload: null },
      {
        queue: emails.queue,
        chunk,
        indices: [0, 1, 2],
        payload: null,
        lane: "7:k",
        attempt: 1,
        crashes: 0,
        alone: false,
      },
    );
  },

  "a limit of 0 takes nothing and says that there is more": async (t) => {
    const emails = await pool(t);
    await enqueue(t, emails, numbers(2));
    const worker = await TaskWorker.enroll(t);
    const { claimed, more } = await worker.exchange(emails, { limit: 0 });
    assert.deepEqual([claimed, more], [[], true]);
  },

  "bytes limit a claim, but one task always moves": async (t) => {
    const emails = await pool(t);
    await enqueue(
      t,
      emails,
      numbers(4).map((n) => `${n}`.repeat(98)),
    );
    const worker = await TaskWorker.enroll(t);
    const first = await worker.exchange(emails, { maxBytes: 250 });
    assert.equal(tasks(first.claimed).length, 2);
    assert.equal(first.more, true);
    assert.equal(tasks(await worker.claim(emails, { maxBytes: 1 })).length, 1);
  },

  "tasks that are not due wait until they are, to the millisecond": async (t) => {
    const emails = await pool(t);
    await enqueue(t, emails, ["later"], { delayMs: WAIT_MS });
    const worker = await TaskWorker.enroll(t);
    const { claimed, nextAt, now } = await worker.exchange(emails);
    assert.deepEqual([claimed, nextAt], [[], now + WAIT_MS]);
    await t.pass(WAIT_MS - 1);
    assert.deepEqual(await worker.claim(emails), []);
    await t.pass(1);
    assert.deepEqual(tasks(await worker.claim(emails)), ["later"]);
    assert.equal((await worker.exchange(emails)).nextAt, null);
  },

  "tasks start in the order in which they are due": async (t) => {
    const emails = await pool(t);
    await enqueue(t, emails, ["second"], { delayMs: 500 });
    await enqueue(t, emails, ["third"], { delayMs: 900 });
    await enqueue(t, emails, ["first"]);
    await t.pass(WAIT_MS);
    const worker = await TaskWorker.enroll(t);
    assert.deepEqual(await drain(worker, emails, { limit: 1 }), ["first", "second", "third"]);
  },

  "the smaller priority goes first, also when it came last": async (t) => {
    const emails = await pool(t);
    await enqueue(t, emails, ["default"]);
    await enqueue(t, emails, ["late"], { priority: 5 });
    await enqueue(t, emails, ["early"], { priority: -5 });
    const worker = await TaskWorker.enroll(t);
    assert.deepEqual(await drain(worker, emails, { limit: 1 }), ["early", "default", "late"]);
  },

  "a claim of many takes the smaller priority first": async (t) => {
    const emails = await pool(t);
    await enqueue(t, emails, numbers(5), { priority: 1 });
    await enqueue(t, emails, numbers(5, 10), { priority: -1, serialKey: "k" });
    const worker = await TaskWorker.enroll(t);
    const claimed = await worker.claim(emails, { limit: 7 });
    assert.deepEqual(tasks(claimed), [10, 11, 12, 13, 14, 0, 1]);
  },

  "a paused pool hands out nothing": async (t) => {
    const emails = await pool(t);
    await enqueue(t, emails, numbers(2));
    await t.storage.setPaused([emails.queue], true);
    const worker = await TaskWorker.enroll(t);
    const { claimed, more, nextAt } = await worker.exchange(emails);
    assert.deepEqual([claimed, more, nextAt], [[], false, null]);
    assert.equal((await t.storage.pools.counts(emails.queue)).paused, true);
    await t.storage.setPaused([emails.queue], false);
    assert.equal(tasks(await worker.claim(emails)).length, 2);
  },

  "what was enqueued before the pool was defined is its own": async (t) => {
    const queue = await t.queue("early");
    await t.add(queue, ["a"], { group: "0:", dueInMs: 0 });
    const emails = await pool(t, "early");
    const worker = await TaskWorker.enroll(t);
    assert.deepEqual(tasks(await worker.claim(emails)), ["a"]);
  },

  "a queue that is no pool is refused": async (t) => {
    const queue = await t.queue();
    const worker = await TaskWorker.enroll(t);
    const emails = { queue, told: queue };
    await rejectsWith(worker.exchange(emails), "STORAGE_FAILED");
    await rejectsWith(t.storage.pools.counts(queue), "STORAGE_FAILED");
    await rejectsWith(t.storage.pools.findTasks(queue, ["1:0"]), "STORAGE_FAILED");
    await rejectsWith(t.storage.pools.cancel(queue, ["1:0"]), "STORAGE_FAILED");
    await rejectsWith(t.storage.pools.setParallelism(queue, 1), "STORAGE_FAILED");
  },

  "nothing of a pool is left when all its tasks ended": async (t) => {
    const emails = await pool(t);
    for (const n of numbers(3)) await enqueue(t, emails, numbers(10, n), { serialKey: `${n}` });
    const worker = await TaskWorker.enroll(t);
    assert.equal((await drain(worker, emails, { limit: 4 })).length, 30);
    const counts = await t.storage.pools.counts(emails.queue);
    const { paused, parallelism, nextAt, ...numbersLeft } = counts;
    assert.deepEqual([paused, parallelism, nextAt], [false, null, null]);
    assert.deepEqual(new Set(Object.values(numbersLeft)), new Set([0]));
  },

  "counts tell where tasks are": async (t) => {
    const emails = await pool(t);
    await enqueue(t, emails, numbers(5));
    await enqueue(t, emails, numbers(3), { serialKey: "k", delayMs: WAIT_MS });
    const worker = await TaskWorker.enroll(t);
    const slice = await worker.claimOne(emails, { limit: 3 });
    const again = [{ indices: [0], attempt: 2, delayMs: 2 * WAIT_MS }];
    const { now } = await worker.settle(succeeded(slice, [], { again }));
    assert.deepEqual(await t.storage.pools.counts(emails.queue), {
      paused: false,
      parallelism: null,
      waiting: 2,
      delayed: 4,
      retrying: 1,
      suspects: 0,
      running: 2,
      canceling: 0,
      keys: 2,
      dead: 0,
      nextAt: now + WAIT_MS,
    });
    await t.pass(WAIT_MS);
    assert.equal((await t.storage.pools.counts(emails.queue)).waiting, 5);
  },

  "counts see what no claim has seen": async (t) => {
    const emails = await pool(t);
    await enqueue(t, emails, numbers(5));
    assert.equal((await t.storage.pools.counts(emails.queue)).waiting, 5);
  },

  "find tells where a task is, before and after any claim": async (t) => {
    const emails = await pool(t);
    const chunk = await enqueue(t, emails, numbers(4));
    const fresh = await find(t, emails, `${chunk}:3`);
    assert.deepEqual([fresh.status, "attempt" in fresh && fresh.attempt], ["pending", 1]);
    const worker = await TaskWorker.enroll(t);
    const slice = await worker.claimOne(emails, { limit: 2 });
    assert.deepEqual(ids(slice), [`${chunk}:0`, `${chunk}:1`]);
    assert.deepEqual(await find(t, emails, `${chunk}:0`), { status: "running", attempt: 1 });
    assert.equal((await find(t, emails, `${chunk}:2`)).status, "pending");
    const again = [{ indices: [0], attempt: 2, delayMs: WAIT_MS }];
    const { now } = await worker.settle(succeeded(slice, [], { again }));
    assert.deepEqual(await find(t, emails, `${chunk}:0`), {
      status: "pending",
      attempt: 2,
      dueAt: now + WAIT_MS,
    });
  },

  "find knows no task that is none": async (t) => {
    const emails = await pool(t);
    const chunk = await enqueue(t, emails, numbers(2));
    const other = await pool(t, "other");
    const names = [`${chunk}:2`, `${chunk + 9}:0`, "nonsense", "", `${chunk}:-1`, "0:0"];
    const found = await t.storage.pools.findTasks(emails.queue, names);
    assert.deepEqual(
      found,
      names.map(() => ({ status: "unknown" })),
    );
    assert.equal((await find(t, other, `${chunk}:0`)).status, "unknown");
  },

  "the throttle counts tasks": async (t) => {
    const emails = await pool(t);
    await enqueue(t, emails, numbers(10));
    const worker = await TaskWorker.enroll(t);
    const throttle = { max: 3, durationMs: TTL_MS };
    const first = await worker.exchange(emails, { limit: 2, throttle });
    assert.equal(tasks(first.claimed).length, 2);
    assert.equal(first.more, true);
    const second = await worker.exchange(emails, { throttle });
    assert.equal(tasks(second.claimed).length, 1);
    assert.deepEqual([second.more, second.nextAt], [false, first.now + TTL_MS]);
    await t.pass(TTL_MS);
    assert.equal(tasks(await worker.claim(emails, { throttle })).length, 3);
  },

  "pools do not take each other's tasks, nor those of batches": async (t) => {
    const emails = await pool(t);
    const fetches = await pool(t, "fetches");
    const batches = await t.queue("orders");
    await enqueue(t, emails, ["email"]);
    await enqueue(t, fetches, ["fetch"]);
    await t.add(batches, ["order"], { dueInMs: 0 });
    const worker = await TaskWorker.enroll(t);
    assert.deepEqual(tasks(await worker.claim(fetches)), ["fetch"]);
    assert.deepEqual(tasks(await worker.claim(emails)), ["email"]);
    const [batch] = await (await t.worker()).claim(batches);
    assert.equal(batch?.count, 1);
  },

  "several pools are claimed from in one exchange": async (t) => {
    const emails = await pool(t);
    const fetches = await pool(t, "fetches");
    await enqueue(t, emails, ["email"]);
    await enqueue(t, fetches, ["fetch"]);
    const { storage, incarnation } = await TaskWorker.enroll(t);
    const most = Number.POSITIVE_INFINITY;
    const caps = { limit: 5, maxBytes: most, maxParallelism: most, concurrencyPerKey: most };
    const claims = [emails, fetches].map(({ queue }) => ({ queue, ...caps }));
    const request = { incarnation, settlements: [], claims, alone: false };
    const { claimed } = await storage.pools.exchange(request);
    assert.deepEqual(sorted(tasks(claimed) as string[]), ["email", "fetch"]);
  },

  "idempotency keys are held until their tasks ended": async (t) => {
    const emails = await pool(t);
    const header = { queue: emails.queue, group: "0:", dueInMs: 0, keyTtlMs: WAIT_MS };
    const value = t.storage.payload === "text" ? JSON.stringify("once") : "once";
    const item = { call: 0, chunk: 0, key: "k", digest: "d", value, bytes: 6 };
    const append = async (): Promise<boolean> => {
      const [answer] = await t.storage.appendKeyed({ chunks: [header], items: [item] });
      assert.ok(answer?.kind === "stored");
      return answer.places[0]?.duplicate as boolean;
    };
    assert.equal(await append(), false);
    const worker = await TaskWorker.enroll(t);
    const claimed = await worker.claim(emails);
    await t.pass(2 * WAIT_MS);
    assert.equal(await append(), true, "it runs");
    await worker.done(claimed);
    await t.pass(WAIT_MS - 1);
    assert.equal(await append(), true, "it ended not long ago");
    await t.pass(1);
    assert.equal(await append(), false);
    assert.deepEqual(tasks(await worker.claim(emails)), ["once"]);
  },
};
