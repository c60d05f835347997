/** Leases of slices, and tasks whose process died. */
import assert from "node:assert/strict";

import { LEASE_MS, numbers, sorted, type Cases, type Fixture } from "./fixture.ts";
import {
  enqueue,
  find,
  ids,
  pool,
  succeeded,
  tasks,
  TaskWorker,
  told,
  type TestPool,
} from "./pool-fixture.ts";

/** A pool of which one process has claimed so many tasks, and died. */
async function crashed(t: Fixture, count: number, chunks = 1): Promise<TestPool> {
  const emails = await pool(t);
  for (let n = 0; n < chunks; n++) {
    await enqueue(t, emails, numbers(count / chunks, (n * count) / chunks));
  }
  const worker = await TaskWorker.enroll(t);
  assert.equal(tasks(await worker.claim(emails)).length, count);
  await worker.crash(t);
  return emails;
}

export const poolLeaseCases: Cases = {
  "slices that are given back start again, and nothing counts": async (t) => {
    const emails = await pool(t);
    await enqueue(t, emails, numbers(4));
    const worker = await TaskWorker.enroll(t);
    const slice = await worker.claimOne(emails);
    await worker.settle(succeeded(slice, [0]));
    await worker.storage.pools.release([slice]);
    const again = await worker.claimOne(emails);
    assert.deepEqual(tasks([again]), [1, 2, 3]);
    assert.deepEqual([again.attempt, again.crashes, again.alone], [1, 0, false]);
    await worker.storage.pools.release([slice]);
    assert.equal((await t.storage.pools.counts(emails.queue)).running, 3, "an old token");
  },

  "reconcile releases strangers and names what is not held": async (t) => {
    const emails = await pool(t);
    await enqueue(t, emails, ["known"]);
    const worker = await TaskWorker.enroll(t);
    const known = await worker.claimOne(emails);
    await enqueue(t, emails, ["stranger"]);
    await worker.claimOne(emails);
    const gone = { batch: known.batch + 100, token: 1 };
    const old = { batch: known.batch, token: known.token + 1 };
    const { pools } = worker.storage;
    assert.deepEqual(await pools.reconcile(worker.incarnation, [known, gone]), [gone]);
    assert.deepEqual(tasks(await worker.claim(emails)), ["stranger"]);
    assert.deepEqual(await pools.reconcile(worker.incarnation, [old]), [old]);
  },

  "retire gives back what the process holds": async (t) => {
    const emails = await pool(t);
    await enqueue(t, emails, numbers(3));
    const worker = await TaskWorker.enroll(t);
    await worker.claim(emails);
    await worker.storage.retire(worker.incarnation);
    const other = await TaskWorker.enroll(t);
    const slice = await other.claimOne(emails);
    assert.deepEqual([tasks([slice]), slice.alone], [numbers(3), false]);
  },

  "tasks of a dead process are suspects: only a process that runs nothing gets them": async (t) => {
    const emails = await crashed(t, 3);
    await enqueue(t, emails, ["healthy"]);
    const worker = await TaskWorker.enroll(t);
    const busy = await worker.exchange(emails);
    assert.deepEqual(tasks(busy.claimed), ["healthy"]);
    assert.equal(busy.suspectWaiting, true);
    await worker.done(busy.claimed);
    const alone = await worker.exchange(emails, { alone: true });
    assert.deepEqual(tasks(alone.claimed), [0], "an eighth of three is one");
    assert.equal(alone.claimed[0]?.alone, true);
    assert.equal((await t.storage.pools.counts(emails.queue)).suspects, 2);
  },

  "nothing is claimed beside suspects": async (t) => {
    const emails = await crashed(t, 2);
    await enqueue(t, emails, ["healthy"]);
    const worker = await TaskWorker.enroll(t);
    assert.deepEqual(tasks(await worker.claim(emails, { alone: true })), [0]);
  },

  "an eighth of the tasks that ran together may do so again": async (t) => {
    const emails = await crashed(t, 80, 4);
    const worker = await TaskWorker.enroll(t);
    const ran: number[] = [];
    for (let rounds = 0; rounds < 8; rounds++) {
      const claimed = await worker.claim(emails, { alone: true });
      assert.equal(tasks(claimed).length, 10);
      ran.push(...(tasks(claimed) as number[]));
      await worker.done(claimed);
    }
    assert.deepEqual(sorted(ran), numbers(80));
    assert.equal((await worker.exchange(emails)).suspectWaiting, false);
  },

  "with each crash fewer run together, and those that were in the fewest go first": async (t) => {
    const emails = await crashed(t, 64);
    const second = await TaskWorker.enroll(t);
    assert.equal(tasks(await second.claim(emails, { alone: true })).length, 8);
    await second.crash(t);
    const company: number[] = [];
    for (let n = 0; n < 15; n++) {
      const worker = await TaskWorker.enroll(t);
      const claimed = await worker.claim(emails, { alone: true });
      company.push(tasks(claimed).length);
      assert.equal(claimed[0]?.crashes, 0);
      await worker.done(claimed);
    }
    assert.deepEqual(company, [8, 8, 8, 8, 8, 8, 8, 1, 1, 1, 1, 1, 1, 1, 1]);
  },

  "a task that kills its process alone, often enough, is a dead letter": async (t) => {
    const emails = await crashed(t, 1);
    for (let crashes = 1; crashes <= 3; crashes++) {
      const worker = await TaskWorker.enroll(t);
      const slice = await worker.claimOne(emails, { alone: true });
      assert.equal(slice.crashes, crashes - 1);
      assert.equal(await worker.crash(t, 3), crashes === 3 ? 1 : 0);
    }
    const query = { queue: emails.queue, group: null, after: 0, limit: 10 };
    const [letter] = await t.storage.deadLetters(query);
    assert.deepEqual([letter?.error.code, letter?.crashes, letter?.attempts], ["CRASHED", 3, 0]);
    const found = await find(t, emails, letter?.itemId as string);
    assert.ok(found.status === "finished");
    assert.deepEqual([found.kind, found.error?.code], ["failed", "CRASHED"]);
    const [item] = (await told(t, emails)) as [Record<string, unknown>];
    assert.deepEqual([item["ended"], item["kind"]], [letter?.itemId, "failed"]);
    assert.equal((item["error"] as { code: string }).code, "CRASHED");
  },

  "a crash is no attempt, and a failure ends the suspicion": async (t) => {
    const emails = await crashed(t, 2);
    const worker = await TaskWorker.enroll(t);
    const slice = await worker.claimOne(emails, { alone: true });
    assert.equal(slice.attempt, 1);
    const again = [{ indices: slice.indices, attempt: 2, delayMs: 0 }];
    await worker.settle(succeeded(slice, [], { again }));
    const healthy = await worker.claimOne(emails);
    assert.deepEqual([healthy.attempt, healthy.alone], [2, false]);
  },

  "a suspect that is given back is a suspect still": async (t) => {
    const emails = await crashed(t, 1);
    const worker = await TaskWorker.enroll(t);
    const slice = await worker.claimOne(emails, { alone: true });
    await worker.storage.pools.release([slice]);
    assert.deepEqual(await worker.claim(emails), []);
    assert.deepEqual(tasks(await worker.claim(emails, { alone: true })), [0]);
  },

  "a process that was only slow is absolved": async (t) => {
    const emails = await pool(t);
    await enqueue(t, emails, numbers(3), { serialKey: "k" });
    const slow = await TaskWorker.enroll(t);
    await slow.claim(emails);
    await slow.crash(t);
    await t.storage.absolve(slow.incarnation);
    const worker = await TaskWorker.enroll(t);
    const { claimed, suspectWaiting } = await worker.exchange(emails);
    assert.deepEqual([tasks(claimed), suspectWaiting], [numbers(3), false]);
  },

  "absolved of one death, not of the one before": async (t) => {
    const emails = await crashed(t, 1);
    const slow = await TaskWorker.enroll(t);
    await slow.claimOne(emails, { alone: true });
    await slow.crash(t);
    await t.storage.absolve(slow.incarnation);
    const worker = await TaskWorker.enroll(t);
    assert.deepEqual(await worker.claim(emails), []);
    assert.equal((await worker.claimOne(emails, { alone: true })).crashes, 0);
  },

  "suspects keep to the limits": async (t) => {
    const emails = await pool(t);
    await enqueue(t, emails, numbers(2), { serialKey: "k" });
    const dead = await TaskWorker.enroll(t);
    await dead.claim(emails, { limit: 1 });
    await t.pass(LEASE_MS + 1);
    const other = await TaskWorker.enroll(t);
    await other.storage.reap(3);
    const running = await other.claimOne(emails, { concurrencyPerKey: 1 });
    assert.deepEqual(tasks([running]), [1]);
    const worker = await TaskWorker.enroll(t);
    const caps = { alone: true, concurrencyPerKey: 1 };
    const blocked = await worker.exchange(emails, caps);
    assert.deepEqual([blocked.claimed, blocked.suspectWaiting], [[], false]);
    const full = await worker.exchange(emails, { alone: true, maxParallelism: 1 });
    assert.deepEqual([full.claimed, full.suspectWaiting], [[], false]);
    assert.deepEqual(await worker.claim(emails, { alone: true, limit: 0 }), []);
    await other.done([running]);
    const suspect = await worker.claimOne(emails, caps);
    assert.deepEqual(tasks([suspect]), [0]);
    await enqueue(t, emails, ["next"], { serialKey: "k" });
    assert.deepEqual(await other.claim(emails, { concurrencyPerKey: 1 }), [], "the suspect runs");
    await worker.done([suspect]);
    assert.deepEqual(tasks(await other.claim(emails, { concurrencyPerKey: 1 })), ["next"]);
  },

  "what a settled task left behind does not come back with a crash": async (t) => {
    const emails = await pool(t);
    await enqueue(t, emails, numbers(8));
    const worker = await TaskWorker.enroll(t);
    const slice = await worker.claimOne(emails);
    await worker.settle(succeeded(slice, [0, 1, 2, 3, 4, 5]));
    await worker.crash(t);
    const other = await TaskWorker.enroll(t);
    const left: unknown[] = [];
    for (let n = 0; n < 2; n++) {
      const suspect = await other.claimOne(emails, { alone: true });
      left.push(...ids(suspect).map((id) => id.slice(id.indexOf(":") + 1)));
      await other.done([suspect]);
    }
    assert.deepEqual(left, ["6", "7"]);
    assert.deepEqual(await other.claim(emails, { alone: true }), []);
  },
};
