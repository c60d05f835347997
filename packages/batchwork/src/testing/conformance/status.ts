/** What a storage tells about itself. */
import assert from "node:assert/strict";

import type { QueueCounts } from "../../storage/storage.ts";
import {
  again,
  children,
  LEASE_MS,
  numbers,
  WAIT_MS,
  type Cases,
  type Fixture,
} from "./fixture.ts";

const NOTHING: QueueCounts = {
  paused: false,
  waiting: 0,
  groups: 0,
  retrying: 0,
  leased: 0,
  dead: 0,
  dueAt: null,
};

async function holds(t: Fixture, queue: number, expected: Partial<QueueCounts>): Promise<void> {
  assert.deepEqual(await t.storage.counts(queue, null), { ...NOTHING, ...expected });
}

export const statusCases: Cases = {
  "counts follow items through their lives": async (t) => {
    const queue = await t.queue();
    const worker = await t.worker();
    await holds(t, queue, {});
    const { dueAt } = await t.add(queue, numbers(14));
    await holds(t, queue, { waiting: 14, groups: 1, dueAt });
    const batch = await worker.claimOne(queue);
    await holds(t, queue, { waiting: 4, groups: 1, leased: 1, dueAt });
    await worker.settle(
      batch,
      children([
        [0, 1],
        [2, 3],
      ]),
    );
    await holds(t, queue, { waiting: 4, groups: 1, retrying: 2, dueAt });
    const [part] = await worker.claim(queue, { limit: 1 });
    await holds(t, queue, { waiting: 4, groups: 1, retrying: 1, leased: 1, dueAt });
    await worker.done(part === undefined ? [] : [part]);
    await worker.done(await worker.claim(queue));
    await t.pass(WAIT_MS);
    await worker.done(await worker.claim(queue));
    await holds(t, queue, {});
    await t.bury(worker, queue, ["a", "b"]);
    await holds(t, queue, { dead: 2 });
  },

  "a suspect waits like any batch": async (t) => {
    const queue = await t.queue();
    const worker = await t.worker();
    await t.claimedBatch(worker, queue, ["a"]);
    await t.crash(worker);
    await holds(t, queue, { retrying: 1 });
  },

  "counts of a group are of that group alone": async (t) => {
    const queue = await t.queue();
    const worker = await t.worker();
    await t.bury(worker, queue, ["x", "y"], "b");
    await t.add(queue, numbers(12), { group: "a" });
    const later = await t.add(queue, numbers(3), { group: "b", dueInMs: 4000 });
    const batch = await worker.claimOne(queue);
    await worker.settle(batch, again(2, 5000));
    const b = await t.storage.counts(queue, "b");
    assert.deepEqual(b, { ...NOTHING, waiting: 3, groups: 1, dead: 2, dueAt: later.dueAt });
    const { waiting, groups, retrying, dead } = await t.storage.counts(queue, "a");
    assert.deepEqual(
      { waiting, groups, retrying, dead },
      {
        waiting: 2,
        groups: 1,
        retrying: 1,
        dead: 0,
      },
    );
    assert.deepEqual(await t.storage.counts(queue, "c"), NOTHING);
  },

  "counts of a queue are of that queue alone": async (t) => {
    const worker = await t.worker();
    const other = await t.queue("other");
    await t.claimedBatch(worker, other, ["a"]);
    await t.bury(worker, other, ["b"]);
    await t.add(other, ["c"]);
    await holds(t, await t.queue("mine"), {});
  },

  "the due time is that of whatever is due first": async (t) => {
    const queue = await t.queue();
    const worker = await t.worker();
    await t.add(queue, ["late"], { group: "late", dueInMs: 9000 });
    const soon = await t.add(queue, ["soon"], { group: "soon", dueInMs: 2000 });
    assert.equal((await t.storage.counts(queue, null)).dueAt, soon.dueAt);
    await t.storage.makeDue(queue, null);
    const { now } = await worker.exchange(queue, { limit: 0 });
    const { dueAt } = await t.storage.counts(queue, null);
    assert.ok(dueAt !== null && dueAt <= now, "flushed items are due now");
  },

  "the waiting items of a partly sealed chunk are counted": async (t) => {
    const queue = await t.queue();
    const worker = await t.worker();
    await t.add(queue, numbers(25));
    await worker.claimOne(queue, { limit: 1 });
    assert.equal((await t.storage.counts(queue, null)).waiting, 15);
    await worker.claimOne(queue, { limit: 1, maxSize: 7 });
    assert.equal((await t.storage.counts(queue, null)).waiting, 8);
  },

  "running lists leased batches, oldest first, with their owners": async (t) => {
    const queue = await t.queue();
    const [one, two] = [await t.worker(), await t.worker()];
    await t.add(queue, numbers(10), { group: "a" });
    const first = await one.exchange(queue);
    await t.pass(300);
    await t.add(queue, numbers(20), { group: "b" });
    const second = await two.exchange(queue, { limit: 1 });
    const [a, b] = [first.claimed[0], second.claimed[0]];
    assert.deepEqual(await t.storage.running(queue), [
      {
        batch: a?.batch,
        token: a?.token,
        group: "a",
        count: 10,
        attempt: 1,
        incarnation: one.incarnation,
        claimedAt: first.now,
        percent: null,
        note: null,
      },
      {
        batch: b?.batch,
        token: b?.token,
        group: "b",
        count: 10,
        attempt: 1,
        incarnation: two.incarnation,
        claimedAt: second.now,
        percent: null,
        note: null,
      },
    ]);
    assert.deepEqual(await t.storage.running(await t.queue("other")), []);
  },

  "a batch that waits, or is over, is not running": async (t) => {
    const queue = await t.queue();
    const worker = await t.worker();
    await t.add(queue, numbers(30));
    const [a, b, c] = await worker.claim(queue);
    if (a === undefined || b === undefined || c === undefined) assert.fail("three are full");
    await worker.settle(a, again(2));
    await t.storage.release([b]);
    await worker.done([c]);
    assert.deepEqual(await t.storage.running(queue), []);
  },

  "progress shows where a batch is": async (t) => {
    const queue = await t.queue();
    const worker = await t.worker();
    const batch = await t.claimedBatch(worker, queue, ["a"]);
    assert.equal(await t.storage.progress(batch, 40, "half of it"), true);
    assert.equal(await t.storage.progress(batch, 62.5, ""), true);
    const [running] = await t.storage.running(queue);
    assert.deepEqual([running?.percent, running?.note], [62.5, ""]);
  },

  "progress under a lost lease changes nothing": async (t) => {
    const queue = await t.queue();
    const [one, two] = [await t.worker(), await t.worker()];
    const old = await t.claimedBatch(one, queue, ["a"]);
    await t.storage.release([old]);
    assert.equal(await t.storage.progress(old, 10, "given back"), false);
    const current = await two.claimOne(queue);
    await t.storage.progress(current, 30, "mine");
    assert.equal(await t.storage.progress(old, 90, "superseded"), false);
    const [running] = await t.storage.running(queue);
    assert.deepEqual([running?.percent, running?.note], [30, "mine"]);
    await two.done([current]);
    assert.equal(await t.storage.progress(current, 100, "over"), false);
  },

  "a new owner starts without progress": async (t) => {
    const queue = await t.queue();
    const worker = await t.worker();
    const batch = await t.claimedBatch(worker, queue, ["a"]);
    await t.storage.progress(batch, 80, "nearly");
    await t.storage.release([batch]);
    await worker.claimOne(queue);
    const [running] = await t.storage.running(queue);
    assert.deepEqual([running?.percent, running?.note], [null, null]);
  },

  "progress is no heartbeat": async (t) => {
    const queue = await t.queue();
    const worker = await t.worker();
    const batch = await t.claimedBatch(worker, queue, ["a"]);
    await t.pass(LEASE_MS - 1);
    await t.storage.progress(batch, 50, "");
    await t.pass(1);
    assert.deepEqual((await t.storage.reap(3)).incarnations, [worker.incarnation]);
  },
};
