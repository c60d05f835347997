/** How tasks are settled, and what is kept and told of them. */
import assert from "node:assert/strict";

import { FAILURE, numbers, sorted, WAIT_MS, type Cases } from "./fixture.ts";
import {
  drain,
  enqueue,
  find,
  pool,
  succeeded,
  tasks,
  TaskWorker,
  told,
  TTL_MS,
  values,
} from "./pool-fixture.ts";

export const poolSettleCases: Cases = {
  "tasks are settled a few at a time, and the slice shrinks": async (t) => {
    const emails = await pool(t);
    await enqueue(t, emails, numbers(6));
    const worker = await TaskWorker.enroll(t);
    const slice = await worker.claimOne(emails);
    assert.deepEqual((await worker.settle(succeeded(slice, [1, 4]))).settled, ["settled"]);
    assert.equal((await t.storage.pools.counts(emails.queue)).running, 4);
    assert.deepEqual((await worker.settle(succeeded(slice, [0, 2, 3]))).settled, ["settled"]);
    await t.storage.pools.release([slice]);
    assert.deepEqual(tasks(await worker.claim(emails)), [5]);
  },

  "an index that is settled already has no effect": async (t) => {
    const emails = await pool(t);
    await enqueue(t, emails, numbers(3));
    const worker = await TaskWorker.enroll(t);
    const slice = await worker.claimOne(emails);
    await worker.settle(succeeded(slice, [0]));
    const dead = [{ index: 0, error: FAILURE }];
    await worker.settle(succeeded(slice, [1], { dead }));
    assert.equal((await t.storage.pools.counts(emails.queue)).dead, 0);
    assert.equal((await t.storage.pools.counts(emails.queue)).running, 1);
  },

  "a superseded token settles nothing": async (t) => {
    const emails = await pool(t);
    await enqueue(t, emails, numbers(2));
    const worker = await TaskWorker.enroll(t);
    const old = await worker.claimOne(emails);
    await t.storage.pools.release([old]);
    const fresh = await worker.claimOne(emails);
    const { settled } = await worker.settle(succeeded(old), succeeded(fresh));
    assert.deepEqual(settled, ["lost", "settled"]);
    assert.deepEqual((await worker.settle(succeeded(fresh))).settled, ["lost"], "it is over");
  },

  "a dead incarnation settles and claims nothing": async (t) => {
    const emails = await pool(t);
    await enqueue(t, emails, numbers(2));
    const worker = await TaskWorker.enroll(t);
    const slice = await worker.claimOne(emails, { limit: 1 });
    await worker.crash(t);
    const answer = await worker.exchange(emails, { settlements: [succeeded(slice)] });
    assert.deepEqual([answer.settled, answer.claimed], [["lost"], []]);
  },

  "settling and claiming is one exchange": async (t) => {
    const emails = await pool(t);
    await enqueue(t, emails, numbers(4));
    const worker = await TaskWorker.enroll(t);
    const first = await worker.claimOne(emails, { limit: 2, maxParallelism: 2 });
    const settlements = [succeeded(first)];
    const second = await worker.exchange(emails, { settlements, maxParallelism: 2 });
    assert.deepEqual(second.settled, ["settled"]);
    assert.deepEqual(tasks(second.claimed), [2, 3]);
  },

  "tasks go on by themselves, each with its own delay and attempt": async (t) => {
    const emails = await pool(t);
    await enqueue(t, emails, numbers(4));
    const worker = await TaskWorker.enroll(t);
    const slice = await worker.claimOne(emails);
    const again = [
      { indices: [0, 3], attempt: 2, delayMs: 0 },
      { indices: [1], attempt: 2, delayMs: WAIT_MS },
    ];
    await worker.settle(succeeded(slice, [2], { again }));
    const next = await worker.exchange(emails);
    assert.deepEqual(tasks(next.claimed), [0, 3]);
    assert.deepEqual(
      next.claimed.map(({ attempt }) => attempt),
      next.claimed.map(() => 2),
    );
    assert.equal(next.nextAt, next.now + WAIT_MS);
    await t.pass(WAIT_MS);
    const late = await worker.claimOne(emails);
    assert.deepEqual([tasks([late]), late.attempt], [[1], 2]);
    await worker.settle(succeeded(late, [], { again: [{ indices: [1], attempt: 3, delayMs: 0 }] }));
    assert.equal((await worker.claimOne(emails)).attempt, 3);
  },

  "dead tasks are dead letters, and are redriven with their lane": async (t) => {
    const emails = await pool(t);
    const into = { priority: 3, serialKey: "k" };
    const chunk = await enqueue(t, emails, ["a", "b"], into);
    const worker = await TaskWorker.enroll(t);
    const slice = await worker.claimOne(emails);
    await worker.settle(succeeded(slice, [0], { dead: [{ index: 1, error: FAILURE }] }));
    const query = { queue: emails.queue, group: null, after: 0, limit: 10 };
    const [letter] = await t.storage.deadLetters(query);
    assert.equal(letter?.itemId, `${chunk}:1`);
    assert.deepEqual([letter.group, letter.attempts, letter.crashes], ["3:k", 1, 0]);
    assert.deepEqual(letter.error, FAILURE);
    assert.equal(await t.storage.redrive(emails.queue, [letter.id]), 1);
    const back = await worker.claimOne(emails);
    assert.deepEqual([tasks([back]), back.lane, back.attempt], [["b"], "3:k", 1]);
  },

  "results are kept for their time, each with its value": async (t) => {
    const emails = await pool(t);
    const chunk = await enqueue(t, emails, numbers(5));
    const worker = await TaskWorker.enroll(t);
    const slice = await worker.claimOne(emails);
    const first = { values: values(t, ["zero", { two: 2 }]) };
    const dead = [{ index: 3, error: FAILURE }];
    const { now } = await worker.settle(succeeded(slice, [0, 2], { ...first, dead }));
    await worker.settle(succeeded(slice, [1, 4]));
    const finished = { status: "finished", kind: "success", error: null, endedAt: now } as const;
    const two = await find(t, emails, `${chunk}:2`);
    assert.deepEqual(two, { ...finished, value: values(t, [{ two: 2 }]) });
    const none = { ...finished, value: null };
    assert.deepEqual(await find(t, emails, `${chunk}:4`), none);
    const failed = { ...none, kind: "failed", error: FAILURE };
    assert.deepEqual(await find(t, emails, `${chunk}:3`), failed);
    await t.pass(TTL_MS - 1);
    assert.equal((await find(t, emails, `${chunk}:0`)).status, "finished");
    await t.pass(1);
    assert.equal((await find(t, emails, `${chunk}:0`)).status, "unknown");
    await t.storage.reap(3);
    assert.equal((await find(t, emails, `${chunk}:1`)).status, "unknown");
  },

  "large values are kept as well": async (t) => {
    const emails = await pool(t);
    const chunk = await enqueue(t, emails, numbers(6));
    const worker = await TaskWorker.enroll(t);
    const slice = await worker.claimOne(emails);
    const large = numbers(6).map((n) => `${n}`.repeat(150_000));
    await worker.settle(succeeded(slice, slice.indices, { values: values(t, large) }));
    for (const n of numbers(6)) {
      const found = await find(t, emails, `${chunk}:${n}`);
      assert.deepEqual("value" in found && found.value, values(t, [large[n]]));
    }
  },

  "results may be kept for ever, or not at all": async (t) => {
    const kept = await pool(t, "kept", { resultTtlMs: Number.POSITIVE_INFINITY });
    const lost = await pool(t, "lost", { resultTtlMs: 0 });
    const worker = await TaskWorker.enroll(t);
    const [one, two] = [await enqueue(t, kept, [1]), await enqueue(t, lost, [1])];
    await drain(worker, kept);
    await drain(worker, lost);
    await t.pass(1000 * TTL_MS);
    await t.storage.reap(3);
    assert.equal((await find(t, kept, `${one}:0`)).status, "finished");
    assert.equal((await find(t, lost, `${two}:0`)).status, "unknown");
  },

  "callbacks are appended with what settles their tasks": async (t) => {
    const emails = await pool(t);
    await enqueue(t, emails, numbers(4));
    const worker = await TaskWorker.enroll(t);
    const slice = await worker.claimOne(emails);
    const callbacks = { indices: [0, 2], payload: values(t, ["zero", "two"]) };
    await worker.settle(succeeded(slice, [0, 1, 2], { callbacks }));
    assert.deepEqual(await told(t, emails), ["zero", "two"]);
    assert.equal(
      (await worker.settle(succeeded({ ...slice, token: slice.token + 1 }))).settled[0],
      "lost",
    );
    assert.deepEqual(await told(t, emails), []);
  },

  "callbacks of a settlement that is lost are, too": async (t) => {
    const emails = await pool(t);
    await enqueue(t, emails, numbers(2));
    const worker = await TaskWorker.enroll(t);
    const slice = await worker.claimOne(emails);
    await t.storage.pools.release([slice]);
    const callbacks = { indices: [0, 1], payload: values(t, ["zero", "one"]) };
    const { settled } = await worker.settle(succeeded(slice, slice.indices, { callbacks }));
    assert.deepEqual(settled, ["lost"]);
    assert.deepEqual(await told(t, emails), []);
  },

  "where nobody is to be told, nobody is": async (t) => {
    const emails = await pool(t, "emails", { callbacks: null });
    await enqueue(t, emails, numbers(2));
    const worker = await TaskWorker.enroll(t);
    const slice = await worker.claimOne(emails);
    const callbacks = { indices: [0, 1], payload: values(t, ["zero", "one"]) };
    const { settled } = await worker.settle(succeeded(slice, slice.indices, { callbacks }));
    assert.deepEqual(settled, ["settled"]);
    assert.deepEqual(await told(t, emails), []);
  },

  "many callbacks are many items": async (t) => {
    const emails = await pool(t);
    await enqueue(t, emails, numbers(500));
    const worker = await TaskWorker.enroll(t);
    const slice = await worker.claimOne(emails);
    const large = numbers(500).map((n) => `${n}`.padStart(1000));
    const callbacks = { indices: slice.indices, payload: values(t, large) };
    await worker.settle(succeeded(slice, slice.indices, { callbacks }));
    assert.deepEqual(sorted((await told(t, emails)) as string[]), sorted(large));
  },
};
