/** How many tasks run at a time: of a pool, and of a serial key. */
import assert from "node:assert/strict";

import { numbers, sorted, WAIT_MS, type Cases } from "./fixture.ts";
import { drain, enqueue, pool, succeeded, tasks, TaskWorker } from "./pool-fixture.ts";

export const poolLimitCases: Cases = {
  "never more tasks are leased than the parallelism allows, over all processes": async (t) => {
    const emails = await pool(t);
    await enqueue(t, emails, numbers(20));
    const one = await TaskWorker.enroll(t);
    const two = await TaskWorker.enroll(t, await t.second());
    const caps = { maxParallelism: 5 };
    const first = await one.claim(emails, { ...caps, limit: 3 });
    const second = await two.exchange(emails, caps);
    assert.equal(tasks(second.claimed).length, 2);
    assert.equal(second.more, false, "a free slot would change nothing");
    assert.deepEqual(await one.claim(emails, caps), []);
    await one.settle(succeeded(first[0] as (typeof first)[number], [1]));
    assert.equal(tasks(await two.claim(emails, caps)).length, 1);
    await two.done(second.claimed);
    assert.equal(tasks(await one.claim(emails, caps)).length, 2);
  },

  "what an expired process holds counts until it is declared dead": async (t) => {
    const emails = await pool(t);
    await enqueue(t, emails, numbers(4));
    const dead = await TaskWorker.enroll(t);
    const caps = { maxParallelism: 2 };
    await dead.claim(emails, caps);
    await t.pass(60_000);
    const worker = await TaskWorker.enroll(t);
    assert.deepEqual(await worker.claim(emails, caps), []);
    await worker.storage.reap(3);
    assert.equal(tasks(await worker.claim(emails, caps)).length, 2);
  },

  "an override counts instead of the definition, until it is taken back": async (t) => {
    const emails = await pool(t);
    await enqueue(t, emails, numbers(20));
    const other = await t.second();
    const worker = await TaskWorker.enroll(t);
    const caps = { maxParallelism: 2 };
    await other.pools.setParallelism(emails.queue, 5);
    assert.equal(await t.storage.pools.parallelism(emails.queue), 5);
    assert.equal(tasks(await worker.claim(emails, caps)).length, 5);
    await pool(t, "emails", { callbacks: null });
    assert.equal((await other.pools.counts(emails.queue)).parallelism, 5, "definitions leave it");
    await other.pools.setParallelism(emails.queue, 0);
    const stopped = await worker.exchange(emails, caps);
    assert.deepEqual([stopped.claimed, stopped.more], [[], false]);
    await other.pools.setParallelism(emails.queue, null);
    assert.equal(await t.storage.pools.parallelism(emails.queue), null);
    assert.deepEqual(await worker.claim(emails, caps), [], "five run");
    assert.equal(tasks(await worker.claim(emails, { maxParallelism: 6 })).length, 1);
  },

  "one task of a serial key runs at a time, in order": async (t) => {
    const emails = await pool(t);
    await enqueue(t, emails, ["a1", "a2"], { serialKey: "a" });
    await enqueue(t, emails, ["b1"], { serialKey: "b" });
    await enqueue(t, emails, ["a3"], { serialKey: "a" });
    const one = await TaskWorker.enroll(t);
    const two = await TaskWorker.enroll(t, await t.second());
    const caps = { concurrencyPerKey: 1 };
    const first = await one.claim(emails, caps);
    assert.deepEqual(sorted(tasks(first) as string[]), ["a1", "b1"]);
    const blocked = await two.exchange(emails, caps);
    assert.deepEqual(blocked.claimed, []);
    assert.equal(blocked.nextAt, null);
    await one.done(first);
    const second = await two.claim(emails, caps);
    assert.deepEqual(tasks(second), ["a2"]);
    await two.done(second);
    assert.deepEqual(tasks(await one.claim(emails, caps)), ["a3"]);
  },

  "several tasks of a key run where they may": async (t) => {
    const emails = await pool(t);
    await enqueue(t, emails, numbers(5), { serialKey: "a" });
    const worker = await TaskWorker.enroll(t);
    const caps = { concurrencyPerKey: 3 };
    const first = await worker.claim(emails, caps);
    assert.deepEqual(tasks(first), [0, 1, 2]);
    await worker.settle(succeeded(first[0] as (typeof first)[number], [0]));
    assert.deepEqual(tasks(await worker.claim(emails, caps)), [3]);
  },

  "a key's limit does not concern tasks without one": async (t) => {
    const emails = await pool(t);
    await enqueue(t, emails, numbers(5));
    const worker = await TaskWorker.enroll(t);
    assert.equal(tasks(await worker.claim(emails, { concurrencyPerKey: 1 })).length, 5);
  },

  "the tasks of a key keep their order when they are given back": async (t) => {
    const emails = await pool(t);
    await enqueue(t, emails, numbers(6), { serialKey: "a" });
    const worker = await TaskWorker.enroll(t);
    await worker.storage.pools.release(await worker.claim(emails, { limit: 2 }));
    assert.deepEqual(await drain(worker, emails, { concurrencyPerKey: 1 }), numbers(6));
  },

  "a task that waits for another attempt does not hold up its key": async (t) => {
    const emails = await pool(t);
    await enqueue(t, emails, ["a1", "a2"], { serialKey: "a" });
    const worker = await TaskWorker.enroll(t);
    const caps = { concurrencyPerKey: 1 };
    const slice = await worker.claimOne(emails, caps);
    const again = [{ indices: [0], attempt: 2, delayMs: WAIT_MS }];
    await worker.settle(succeeded(slice, [], { again }));
    const next = await worker.claimOne(emails, caps);
    assert.deepEqual(tasks([next]), ["a2"]);
    await t.pass(WAIT_MS);
    assert.deepEqual(await worker.claim(emails, caps), [], "a2 runs");
    await worker.done([next]);
    assert.deepEqual(tasks(await worker.claim(emails, caps)), ["a1"]);
  },

  "keys of any text are kept apart": async (t) => {
    const emails = await pool(t);
    const keys = ["a", "a:b", ":", "0:", "\0", "ä", "\u0001", " "];
    for (const serialKey of keys) await enqueue(t, emails, [serialKey], { serialKey });
    const worker = await TaskWorker.enroll(t);
    const claimed = await worker.claim(emails, { concurrencyPerKey: 1 });
    assert.deepEqual(sorted(tasks(claimed) as string[]), sorted(keys));
    assert.equal((await t.storage.pools.counts(emails.queue)).keys, keys.length);
  },

  "keys share what is free, however much one of them has": async (t) => {
    const emails = await pool(t);
    await enqueue(t, emails, numbers(100), { serialKey: "many" });
    await enqueue(t, emails, ["one"], { serialKey: "one" });
    await enqueue(t, emails, ["two"], { serialKey: "two" });
    await enqueue(t, emails, numbers(100));
    const worker = await TaskWorker.enroll(t);
    const claimed = tasks(await worker.claim(emails, { limit: 8 }));
    assert.ok(claimed.includes("one") && claimed.includes("two"), claimed.join(" "));
    assert.equal(claimed.length, 8, "what a key does not need goes to the others");
  },

  "each turn goes to the key that was served the longest ago": async (t) => {
    const emails = await pool(t);
    for (const serialKey of ["a", "b", "c"]) {
      await enqueue(t, emails, [serialKey, serialKey], { serialKey });
    }
    const worker = await TaskWorker.enroll(t);
    const order: unknown[] = [];
    for (let n = 0; n < 6; n++) order.push(...tasks(await worker.claim(emails, { limit: 1 })));
    assert.deepEqual(sorted(order.slice(0, 3) as string[]), ["a", "b", "c"]);
    assert.deepEqual(order.slice(3), order.slice(0, 3));
  },

  "tasks without a key wait their turn, like a key": async (t) => {
    const emails = await pool(t);
    await enqueue(t, emails, numbers(100));
    await enqueue(t, emails, ["k", "k"], { serialKey: "k" });
    const worker = await TaskWorker.enroll(t);
    const first = tasks(await worker.claim(emails, { limit: 1 }));
    const second = tasks(await worker.claim(emails, { limit: 1 }));
    assert.equal([...first, ...second].filter((task) => task === "k").length, 1);
  },

  "many keys are served in one claim": async (t) => {
    const emails = await pool(t);
    const lanes = numbers(700).map((n) =>
      t.chunk(emails.queue, [n], { group: `0:k${n}`, dueInMs: 0 }),
    );
    await t.storage.append(lanes);
    const worker = await TaskWorker.enroll(t);
    const claimed = await worker.claim(emails, { concurrencyPerKey: 1 });
    assert.deepEqual(sorted(tasks(claimed) as number[]), numbers(700));
  },
};
