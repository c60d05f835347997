/** Incarnations: how they live, and what becomes of their leases when they end. */
import assert from "node:assert/strict";

import type { ClaimedBatch } from "../../storage/storage.ts";
import {
  type Cases,
  contents,
  DONE,
  items,
  LEASE_MS,
  numbers,
  settlement,
  sorted,
  WAIT_MS,
} from "./fixture.ts";

export const leaseCases: Cases = {
  "ids of incarnations are never reused": async (t) => {
    const seen = new Set<number>();
    for (let n = 0; n < 4; n++) {
      const { incarnation } = await t.worker();
      seen.add(incarnation);
      if (n % 2 === 0) await t.storage.retire(incarnation);
    }
    await t.pass(LEASE_MS);
    await t.storage.reap(3);
    seen.add((await t.worker()).incarnation);
    assert.equal(seen.size, 5);
  },

  "an incarnation lives until its lease has run out": async (t) => {
    const worker = await t.worker();
    await t.pass(LEASE_MS - 1);
    assert.deepEqual((await t.storage.reap(3)).incarnations, []);
    await t.pass(1);
    assert.deepEqual((await t.storage.reap(3)).incarnations, [worker.incarnation]);
  },

  "a heartbeat renews every lease of its incarnation": async (t) => {
    const queue = await t.queue();
    const worker = await t.worker();
    await t.add(queue, numbers(20));
    const batches = await worker.claim(queue);
    for (let n = 0; n < 5; n++) {
      await t.pass(LEASE_MS - 1);
      assert.equal(await t.storage.heartbeat(worker.incarnation, LEASE_MS), true);
      assert.partialDeepStrictEqual(await t.storage.reap(3), {
        incarnations: [],
        released: 0,
        dead: 0,
      });
    }
    await worker.done(batches);
  },

  "the reaper takes the dead alone, and says what it released": async (t) => {
    const queue = await t.queue();
    const [dead, alive] = [await t.worker(), await t.worker()];
    await t.add(queue, numbers(30));
    await dead.claim(queue, { limit: 2 });
    const kept = await alive.claimOne(queue);
    await t.pass(LEASE_MS - 1);
    await t.storage.heartbeat(alive.incarnation, LEASE_MS);
    await t.pass(1);
    const reaped = await t.storage.reap(3);
    assert.partialDeepStrictEqual(reaped, {
      incarnations: [dead.incarnation],
      released: 2,
      dead: 0,
    });
    const running = await t.storage.running(queue);
    assert.deepEqual(
      running.map(({ batch }) => batch),
      [kept.batch],
    );
    await alive.done([kept]);
  },

  "the dead are declared dead once": async (t) => {
    const queue = await t.queue();
    const worker = await t.worker();
    await t.claimedBatch(worker, queue, ["a"]);
    await t.crash(worker);
    assert.partialDeepStrictEqual(await t.storage.reap(3), {
      incarnations: [],
      released: 0,
      dead: 0,
    });
  },

  "a dead incarnation's heartbeat fails, for good": async (t) => {
    const worker = await t.worker();
    await t.crash(worker);
    assert.equal(await t.storage.heartbeat(worker.incarnation, LEASE_MS), false);
    assert.equal(await t.storage.heartbeat(worker.incarnation, LEASE_MS), false);
  },

  "the heartbeat of an incarnation that never was fails": async (t) => {
    const { incarnation } = await t.worker();
    assert.equal(await t.storage.heartbeat(incarnation + 100, LEASE_MS), false);
  },

  "a dead incarnation claims nothing and loses what it settles": async (t) => {
    const queue = await t.queue();
    const zombie = await t.worker();
    const batch = await t.claimedBatch(zombie, queue, ["a"]);
    await t.crash(zombie);
    await t.add(queue, numbers(10));
    const settlements = [settlement(batch, DONE)];
    for (const alone of [false, true]) {
      const { settled, claimed } = await zombie.exchange(queue, { settlements, alone });
      assert.deepEqual({ settled, claimed }, { settled: ["lost"], claimed: [] });
    }
    const heir = await t.worker();
    assert.deepEqual(contents(await heir.claim(queue)), [numbers(10)]);
  },

  "a dead incarnation cannot settle what another holds": async (t) => {
    const queue = await t.queue();
    const zombie = await t.worker();
    await t.crash(zombie);
    const owner = await t.worker();
    const batch = await t.claimedBatch(owner, queue, ["a"]);
    assert.equal(await zombie.settle(batch, DONE), "lost");
    assert.equal(await owner.settle(batch, DONE), "settled");
  },

  "an expired incarnation that nobody declared dead is alive": async (t) => {
    const queue = await t.queue();
    const worker = await t.worker();
    const batch = await t.claimedBatch(worker, queue, ["a"]);
    await t.pass(10 * LEASE_MS);
    assert.equal(await worker.settle(batch, DONE), "settled");
    assert.equal(await t.storage.heartbeat(worker.incarnation, LEASE_MS), true);
    assert.deepEqual((await t.storage.reap(3)).incarnations, []);
  },

  "a released batch is claimable at once, and nothing counts": async (t) => {
    const queue = await t.queue();
    const worker = await t.worker();
    const batch = await t.claimedBatch(worker, queue, ["a"]);
    await t.storage.release([batch]);
    const next = await worker.claimOne(queue);
    assert.deepEqual([next.batch, next.attempt, next.alone], [batch.batch, 1, false]);
  },

  "releasing under a superseded token has no effect": async (t) => {
    const queue = await t.queue();
    const [one, two] = [await t.worker(), await t.worker()];
    const old = await t.claimedBatch(one, queue, ["a"]);
    await t.storage.release([old]);
    const current = await two.claimOne(queue);
    await t.storage.release([old, { batch: current.batch, token: current.token + 1 }]);
    assert.deepEqual(await one.claim(queue), []);
    assert.equal(await two.settle(current, DONE), "settled");
    await t.storage.release([current]);
    assert.deepEqual(await one.claim(queue), []);
  },

  "reconcile releases leases that the process does not know": async (t) => {
    const queue = await t.queue();
    const [worker, other] = [await t.worker(), await t.worker()];
    await t.add(queue, numbers(40));
    const [known, unknown] = (await worker.claim(queue, { limit: 2 })) as [
      ClaimedBatch,
      ClaimedBatch,
    ];
    const foreign = await other.claimOne(queue, { limit: 1 });
    assert.deepEqual(await t.storage.reconcile(worker.incarnation, [known]), []);
    const running = await t.storage.running(queue);
    assert.deepEqual(
      sorted(running.map(({ batch }) => batch)),
      sorted([known.batch, foreign.batch]),
    );
    const next = await other.claimOne(queue, { limit: 1 });
    assert.deepEqual([next.batch, next.attempt, next.alone], [unknown.batch, 1, false]);
    await worker.done([known]);
  },

  "reconcile tells which leases the process no longer has": async (t) => {
    const queue = await t.queue();
    const [worker, other] = [await t.worker(), await t.worker()];
    await t.add(queue, numbers(30));
    const [a, b, c] = (await worker.claim(queue)) as [ClaimedBatch, ClaimedBatch, ClaimedBatch];
    await t.storage.release([a]);
    const taken = await other.claimOne(queue);
    await worker.done([b]);
    const lost = await t.storage.reconcile(worker.incarnation, [
      a,
      b,
      c,
      { batch: 99_999, token: 1 },
    ]);
    assert.deepEqual(sorted(lost.map(({ batch }) => batch)), sorted([a.batch, b.batch, 99_999]));
    assert.equal(await other.settle(taken, DONE), "settled");
    assert.equal(await worker.settle(c, DONE), "settled");
  },

  "reconcile knows a lease by its token, not by its batch": async (t) => {
    const queue = await t.queue();
    const worker = await t.worker();
    const old = await t.claimedBatch(worker, queue, ["a"]);
    await t.storage.release([old]);
    const current = await worker.claimOne(queue);
    const lost = await t.storage.reconcile(worker.incarnation, [old]);
    assert.deepEqual(
      lost.map(({ batch, token }) => ({ batch, token })),
      [{ batch: old.batch, token: old.token }],
    );
    assert.equal(
      await worker.settle(current, DONE),
      "lost",
      "it was a stranger, so it was released",
    );
    assert.deepEqual(items(await worker.claimOne(queue)), ["a"]);
  },

  "reconcile of a dead incarnation returns all it believes to hold": async (t) => {
    const queue = await t.queue();
    const zombie = await t.worker();
    const batch = await t.claimedBatch(zombie, queue, ["a"]);
    await t.crash(zombie);
    const heir = await t.worker();
    const taken = await heir.claimOne(queue, { alone: true });
    const lost = await t.storage.reconcile(zombie.incarnation, [batch]);
    assert.deepEqual(
      lost.map(({ token }) => token),
      [batch.token],
    );
    assert.equal(await heir.settle(taken, DONE), "settled");
  },

  "reconcile counts a lease of another incarnation as lost": async (t) => {
    const queue = await t.queue();
    const [worker, other] = [await t.worker(), await t.worker()];
    const batch = await t.claimedBatch(other, queue, ["a"]);
    const lost = await t.storage.reconcile(worker.incarnation, [batch]);
    assert.deepEqual(
      lost.map((lease) => lease.batch),
      [batch.batch],
    );
    assert.equal(await other.settle(batch, DONE), "settled");
  },

  "housekeeping forgets nothing that waits": async (t) => {
    const queue = await t.queue();
    const worker = await t.worker();
    const caps = { groupConcurrency: 1 };
    for (const group of ["waits", "runs", "gone"]) {
      await t.add(queue, [group], { group, dueInMs: 0 });
    }
    await worker.done(await worker.claim(queue, caps));
    await t.add(queue, ["running"], { group: "runs", dueInMs: 0 });
    const running = await worker.claimOne(queue, caps);
    await t.add(queue, ["waiting"], { group: "waits" });
    await t.storage.reap(3);
    await t.add(queue, ["behind"], { group: "runs", dueInMs: 0 });
    assert.deepEqual(await worker.claim(queue, caps), []);
    await worker.done([running]);
    await t.pass(WAIT_MS);
    const rest = await worker.claim(queue, caps);
    assert.deepEqual(sorted(contents(rest).flat().map(String)), ["behind", "waiting"]);
  },

  "a retired incarnation has given everything back, and nothing counts": async (t) => {
    const queue = await t.queue();
    const [leaving, staying] = [await t.worker(), await t.worker()];
    await t.add(queue, numbers(30));
    const held = await leaving.claim(queue, { limit: 2 });
    await t.storage.retire(leaving.incarnation);
    const next = await staying.claim(queue, { limit: 2 });
    assert.deepEqual(
      next.map(({ batch }) => batch),
      held.map(({ batch }) => batch),
    );
    for (const { attempt, alone } of next) assert.deepEqual([attempt, alone], [1, false]);
  },

  "a retired incarnation neither lives nor claims nor is reaped": async (t) => {
    const queue = await t.queue();
    const worker = await t.worker();
    await t.storage.retire(worker.incarnation);
    await t.storage.retire(worker.incarnation);
    await t.add(queue, ["a"], { dueInMs: 0 });
    assert.equal(await t.storage.heartbeat(worker.incarnation, LEASE_MS), false);
    assert.deepEqual(await worker.claim(queue), []);
    await t.pass(LEASE_MS);
    assert.deepEqual((await t.storage.reap(3)).incarnations, []);
  },
};
