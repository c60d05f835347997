/** Storage time: it never runs back and never stops (G7). */
import assert from "node:assert/strict";

import { again, items, LEASE_MS, numbers, WAIT_MS, type Cases, type Fixture } from "./fixture.ts";

const HOUR_MS = 3_600_000;

/** Storage time, as an exchange that does nothing tells it. */
async function timeOf(t: Fixture): Promise<number> {
  const { now } = await t.storage.exchange({
    incarnation: (await t.worker()).incarnation,
    settlements: [],
    claims: [],
    alone: false,
  });
  return now;
}

export const clockCases: Cases = {
  "time begins with the wall clock and passes with it": async (t) => {
    const start = await timeOf(t);
    assert.equal(start, t.clock.wallMs());
    await t.pass(1234);
    assert.equal(await timeOf(t), start + 1234);
  },

  "time does not run back when the wall clock does": async (t) => {
    const start = await timeOf(t);
    t.clock.stepWall(-HOUR_MS);
    assert.ok((await timeOf(t)) >= start);
    const { dueAt } = await t.add(await t.queue(), ["a"], { dueInMs: 10 });
    assert.ok(dueAt >= start + 10);
  },

  "time passes while the wall clock is behind": async (t) => {
    const queue = await t.queue();
    const worker = await t.worker();
    await t.add(queue, ["a"]);
    t.clock.stepWall(-HOUR_MS);
    await t.pass(WAIT_MS - 1);
    assert.deepEqual(await worker.claim(queue), []);
    await t.pass(1);
    assert.deepEqual(items(await worker.claimOne(queue)), ["a"]);
  },

  "time passes though it is read many times a millisecond": async (t) => {
    const queue = await t.queue();
    const worker = await t.worker();
    await t.add(queue, ["a"], { dueInMs: 20 });
    t.clock.stepWall(-HOUR_MS);
    for (let n = 0; n < 100; n++) {
      await t.pass(0.25);
      await worker.exchange(queue, { limit: 0 });
    }
    assert.deepEqual(items(await worker.claimOne(queue)), ["a"]);
  },

  "time follows the wall clock forward": async (t) => {
    const queue = await t.queue();
    const start = await timeOf(t);
    const worker = await t.worker();
    await t.add(queue, ["a"], { dueInMs: HOUR_MS });
    t.clock.stepWall(HOUR_MS);
    assert.equal(await timeOf(t), start + HOUR_MS);
    assert.deepEqual(items(await worker.claimOne(queue)), ["a"]);
  },

  "a step forward and back again costs nothing but the step": async (t) => {
    const start = await timeOf(t);
    t.clock.stepWall(HOUR_MS);
    await timeOf(t);
    t.clock.stepWall(-HOUR_MS);
    await t.pass(500);
    assert.equal(await timeOf(t), start + HOUR_MS + 500);
  },

  "a lease lasts as long as ever when the wall clock steps back": async (t) => {
    const worker = await t.worker();
    t.clock.stepWall(-HOUR_MS);
    await t.pass(LEASE_MS - 1);
    assert.deepEqual((await t.storage.reap(3)).incarnations, []);
    await t.pass(1);
    assert.deepEqual((await t.storage.reap(3)).incarnations, [worker.incarnation]);
  },

  "a retry waits as long as ever when the wall clock steps back": async (t) => {
    const queue = await t.queue();
    const worker = await t.worker();
    const batch = await t.claimedBatch(worker, queue, numbers(2));
    await worker.settle(batch, again(2, 2000));
    t.clock.stepWall(-HOUR_MS);
    await t.pass(1999);
    assert.deepEqual(await worker.claim(queue), []);
    await t.pass(1);
    assert.equal((await worker.claimOne(queue)).batch, batch.batch);
  },
};
