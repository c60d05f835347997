/** Storage time: it never runs back and never stops (G7). */
import assert from "node:assert/strict";

import { ManualClock } from "../manual-clock.ts";
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

/** Storage time of processes that have a clock each. */
export const processClockCases: Cases = {
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

  "a process whose wall clock is behind has time of its own": async (t) => {
    const queue = await t.queue();
    const behind = new ManualClock({ startMs: t.clock.wallMs() - HOUR_MS });
    const worker = await t.worker(await t.second(behind));
    await t.add(queue, ["a"], { dueInMs: 500 });
    assert.deepEqual(await worker.claim(queue), []);
    await behind.advance(500);
    assert.deepEqual(
      items(await worker.claimOne(queue)),
      ["a"],
      "though nobody else's clock moved",
    );
  },
};

/** Storage time of a database that has the only clock. */
export const databaseClockCases: Cases = {
  "a step of a process's wall clock means nothing": async (t) => {
    const queue = await t.queue();
    const start = await timeOf(t);
    const worker = await t.worker();
    await t.add(queue, ["a"], { dueInMs: HOUR_MS });
    t.clock.stepWall(HOUR_MS);
    assert.equal(await timeOf(t), start);
    assert.deepEqual(await worker.claim(queue), []);
    t.clock.stepWall(-2 * HOUR_MS);
    await t.pass(500);
    assert.equal(await timeOf(t), start + 500);
  },

  "a process whose clocks are elsewhere has the same time as the others": async (t) => {
    const queue = await t.queue();
    const ahead = new ManualClock({ startMs: t.clock.wallMs() + HOUR_MS });
    const worker = await t.worker(await t.second(ahead));
    await t.add(queue, ["a"], { dueInMs: 500 });
    await ahead.advance(HOUR_MS);
    assert.deepEqual(await worker.claim(queue), []);
    await t.pass(500);
    assert.deepEqual(items(await worker.claimOne(queue)), ["a"]);
  },

  "a lease lasts as long as the database says": async (t) => {
    const second = await t.second(new ManualClock({ startMs: 0 }));
    const worker = await t.worker(second);
    await t.pass(LEASE_MS - 1);
    assert.deepEqual((await second.reap(3)).incarnations, []);
    await t.pass(1);
    assert.deepEqual((await t.storage.reap(3)).incarnations, [worker.incarnation]);
  },
};
