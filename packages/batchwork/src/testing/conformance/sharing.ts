/** Two storage objects on the same data, as two processes have them. */
import assert from "node:assert/strict";

import { ManualClock } from "../manual-clock.ts";
import { contents, DONE, items, LEASE_MS, numbers, rejectsWith, type Cases } from "./fixture.ts";

export const sharingCases: Cases = {
  "what one appends the other hands over": async (t) => {
    const queue = await t.queue();
    const second = await t.second();
    assert.deepEqual(await second.define([{ name: "orders", notify: false }]), [
      { id: queue, paused: false },
    ]);
    await t.add(queue, ["a", "b"], { dueInMs: 0 });
    assert.deepEqual(items(await (await t.worker(second)).claimOne(queue)), ["a", "b"]);
  },

  "no item is handed to both": async (t) => {
    const queue = await t.queue();
    const one = await t.worker();
    const two = await t.worker(await t.second());
    for (let n = 0; n < 200; n += 5) await t.add(queue, numbers(5, n));
    const found: unknown[] = [];
    for (let n = 0; n < 10; n++) {
      const [left, right] = await Promise.all([
        one.claim(queue, { limit: 1 }),
        two.claim(queue, { limit: 1 }),
      ]);
      found.push(...contents([...left, ...right]).flat());
    }
    assert.deepEqual(
      found.toSorted((a, b) => Number(a) - Number(b)),
      numbers(200),
    );
  },

  "a group's limit holds over both": async (t) => {
    const queue = await t.queue();
    const one = await t.worker();
    const two = await t.worker(await t.second());
    const caps = { groupConcurrency: 2, limit: 2 };
    await t.add(queue, numbers(50), { group: "g" });
    const [left, right] = await Promise.all([one.claim(queue, caps), two.claim(queue, caps)]);
    assert.equal(left.length + right.length, 2);
  },

  "a pause holds in both from the next claim on": async (t) => {
    const queue = await t.queue();
    const second = await t.second();
    const worker = await t.worker(second);
    await t.add(queue, ["a"], { dueInMs: 0 });
    await t.storage.setPaused([queue], true);
    assert.deepEqual(await worker.claim(queue), []);
    await second.setPaused([queue], false);
    assert.deepEqual(items(await (await t.worker()).claimOne(queue)), ["a"]);
  },

  "a flush in one is due in the other": async (t) => {
    const queue = await t.queue();
    const worker = await t.worker(await t.second());
    await t.add(queue, ["a"]);
    assert.deepEqual(await worker.claim(queue), []);
    await t.storage.makeDue(queue, null);
    assert.equal((await worker.claimOne(queue)).reason, "flush");
  },

  "the other takes over what a dead process held, and the zombie writes nothing": async (t) => {
    const queue = await t.queue();
    const second = await t.second();
    const zombie = await t.worker();
    const batch = await t.claimedBatch(zombie, queue, ["a"]);
    await t.pass(LEASE_MS);
    const heir = await t.worker(second);
    assert.deepEqual((await second.reap(3)).incarnations, [zombie.incarnation]);
    const taken = await heir.claimOne(queue, { alone: true });
    assert.deepEqual([taken.batch, items(taken)], [batch.batch, ["a"]]);
    assert.equal(await zombie.settle(batch, DONE), "lost");
    assert.equal(await t.storage.progress(batch, 50, "zombie"), false);
    assert.equal(await t.storage.heartbeat(zombie.incarnation, LEASE_MS), false);
    const { batch: id, token } = batch;
    const request = { lease: { batch: id, token }, run: () => undefined, outcome: () => DONE };
    await rejectsWith(t.storage.transact(request), "LEASE_LOST");
    await t.storage.release([batch]);
    assert.equal(await heir.settle(taken, DONE), "settled");
  },

  "two reapers declare each dead process dead once": async (t) => {
    const queue = await t.queue();
    const second = await t.second();
    const worker = await t.worker();
    await t.claimedBatch(worker, queue, ["a"]);
    await t.pass(LEASE_MS);
    const [left, right] = await Promise.all([t.storage.reap(3), second.reap(3)]);
    assert.deepEqual([...left.incarnations, ...right.incarnations], [worker.incarnation]);
    assert.equal(left.released + right.released, 1);
  },

  "a heartbeat in one is seen by the reaper of the other": async (t) => {
    const second = await t.second();
    const worker = await t.worker();
    await t.pass(LEASE_MS - 1);
    await t.storage.heartbeat(worker.incarnation, LEASE_MS);
    await t.pass(1);
    assert.deepEqual((await second.reap(3)).incarnations, []);
  },

  "time does not run back for a process whose wall clock is behind": async (t) => {
    const queue = await t.queue();
    const behind = new ManualClock({ startMs: t.clock.wallMs() - 3_600_000 });
    const { dueAt } = await t.add(queue, ["a"], { dueInMs: 0 });
    const worker = await t.worker(await t.second(behind));
    const { now, claimed } = await worker.exchange(queue);
    assert.ok(now >= dueAt);
    assert.deepEqual(contents(claimed), [["a"]]);
  },

  "what is stored outlives the object that stored it": async (t) => {
    const queue = await t.queue();
    const second = await t.second();
    await t.bury(await t.worker(), queue, ["dead"], "g");
    await t.add(queue, ["a"], { dueInMs: 0 });
    await t.storage.setPaused([await t.queue("paused")], true);
    const [before] = await t.storage.deadLetters({ queue, group: null, after: 0, limit: 1 });
    t.clock.stepWall(-3_600_000);
    await t.storage.close();
    await t.storage.close();
    assert.equal(await second.discard(queue, [before?.id ?? 0]), 1);
    await t.storage.open({ clock: t.clock });
    await t.storage.open({ clock: t.clock });
    assert.deepEqual(await t.storage.define([{ name: "paused", notify: false }]), [
      { id: await t.queue("paused"), paused: true },
    ]);
    const { now, claimed } = await (await t.worker()).exchange(queue);
    assert.deepEqual(contents(claimed), [["a"]]);
    assert.ok(now >= (before?.diedAt ?? Infinity), "storage time went on from where it was");
  },

  "ids and tokens go on from where they were after a restart": async (t) => {
    const queue = await t.queue();
    const worker = await t.worker();
    const batch = await t.claimedBatch(worker, queue, ["a"]);
    await t.storage.release([batch]);
    const second = await t.second();
    await t.storage.close();
    const heir = await t.worker(second);
    assert.notEqual(heir.incarnation, worker.incarnation);
    const again = await heir.claimOne(queue);
    assert.deepEqual([again.batch, again.token > batch.token], [batch.batch, true]);
    await heir.done([again]);
    const [chunk] = await second.append([t.chunk(queue, ["b"], { dueInMs: 0 })]);
    assert.ok((chunk?.id ?? 0) > (batch.members[0]?.chunk ?? Infinity));
    assert.ok((await heir.claimOne(queue)).batch > batch.batch);
  },
};

/** Storages that are told of each commit of others. */
export const exactNewsCases: Cases = {
  "changed tells once of what the other committed": async (t) => {
    const queue = await t.queue();
    const second = await t.second();
    second.changed();
    t.storage.changed();
    assert.equal(second.changed(), false);
    await t.add(queue, ["a"]);
    assert.equal(second.changed(), true);
    assert.equal(second.changed(), false);
    assert.equal(t.storage.changed(), false, "its own commits are no news");
    const worker = await t.worker(second);
    t.storage.changed();
    await t.storage.makeDue(queue, null);
    second.changed();
    await worker.claimOne(queue);
    assert.equal(t.storage.changed(), true);
    assert.equal(second.changed(), false);
  },
};
