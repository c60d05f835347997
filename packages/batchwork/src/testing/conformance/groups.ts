/** Isolation between groups, their limit, and whose turn it is. */
import assert from "node:assert/strict";

import {
  again,
  children,
  type Cases,
  contents,
  DONE,
  items,
  numbers,
  settlement,
  sorted,
  WAIT_MS,
} from "./fixture.ts";

/** Groups that a careless storage would confuse. */
const GROUPS = [
  "",
  "orders",
  "orders:eu",
  "Orders",
  "orders ",
  "order",
  "a::b",
  "a:",
  ":b",
  "%",
  "__proto__",
  "🧾",
  "'",
];

export const groupCases: Cases = {
  "a batch never mixes groups, however alike their names are": async (t) => {
    const queue = await t.queue();
    const worker = await t.worker();
    for (const part of [1, 2]) {
      await t.storage.append(GROUPS.map((group) => t.chunk(queue, [{ group, part }], { group })));
    }
    await t.pass(WAIT_MS);
    const batches = await worker.claim(queue);
    assert.equal(batches.length, GROUPS.length);
    for (const batch of batches) {
      const { group } = batch;
      assert.deepEqual(items(batch), [
        { group, part: 1 },
        { group, part: 2 },
      ]);
    }
    assert.deepEqual(sorted(batches.map(({ group }) => group)), sorted(GROUPS));
  },

  "the same group name in two queues is two groups": async (t) => {
    const worker = await t.worker();
    const one = await t.queue("one");
    const two = await t.queue("two");
    await t.add(one, ["1"], { group: "g" });
    await t.add(two, ["2"], { group: "g" });
    await t.storage.makeDue(one, "g");
    assert.deepEqual(contents(await worker.claim(two)), []);
    assert.deepEqual(contents(await worker.claim(one, { groupConcurrency: 1 })), [["1"]]);
    await t.pass(WAIT_MS);
    assert.deepEqual(contents(await worker.claim(two, { groupConcurrency: 1 })), [["2"]]);
  },

  "a full group goes though others are not full": async (t) => {
    const queue = await t.queue();
    const worker = await t.worker();
    await t.add(queue, numbers(9), { group: "nearly" });
    await t.add(queue, numbers(10), { group: "full" });
    assert.equal((await worker.claimOne(queue)).group, "full");
  },

  "groupConcurrency 1 hands over one batch of a group at a time": async (t) => {
    const queue = await t.queue();
    const worker = await t.worker();
    await t.add(queue, numbers(30), { group: "g" });
    const caps = { groupConcurrency: 1 };
    const found: unknown[] = [];
    for (let n = 0; n < 3; n++) {
      const batch = await worker.claimOne(queue, caps);
      assert.deepEqual(await worker.claim(queue, caps), [], "the group is busy");
      found.push(...items(batch));
      await worker.done([batch]);
    }
    assert.deepEqual(found, numbers(30));
  },

  "groupConcurrency counts the batches of all incarnations": async (t) => {
    const queue = await t.queue();
    const [one, two] = [await t.worker(), await t.worker()];
    await t.add(queue, numbers(60), { group: "g" });
    const caps = { groupConcurrency: 3, limit: 2 };
    assert.equal((await one.claim(queue, caps)).length, 2);
    const last = await two.claimOne(queue, caps);
    assert.deepEqual(await one.claim(queue, caps), []);
    await two.done([last]);
    assert.equal((await one.claim(queue, caps)).length, 1);
  },

  "a busy group does not hold up the others": async (t) => {
    const queue = await t.queue();
    const worker = await t.worker();
    const caps = { groupConcurrency: 1 };
    await t.add(queue, numbers(50), { group: "busy" });
    await worker.claimOne(queue, caps);
    await t.add(queue, numbers(10), { group: "other" });
    const { claimed, more } = await worker.exchange(queue, caps);
    assert.deepEqual(
      claimed.map(({ group }) => group),
      ["other"],
    );
    assert.equal(more, false, "what is left of the busy group is not claimable");
  },

  "a batch that waits for another attempt counts against the limit only while it runs": async (
    t,
  ) => {
    const queue = await t.queue();
    const worker = await t.worker();
    const caps = { groupConcurrency: 1 };
    await t.add(queue, numbers(30), { group: "g" });
    const failed = await worker.claimOne(queue, caps);
    await worker.settle(failed, again(2, 5000));
    const next = await worker.claimOne(queue, caps);
    assert.deepEqual(items(next), numbers(10, 10), "backing off does not block the group");
    await t.pass(5000);
    assert.deepEqual(await worker.claim(queue, caps), [], "the other one runs");
    await worker.done([next]);
    const retried = await worker.claimOne(queue, caps);
    assert.equal(retried.batch, failed.batch, "a due retry goes before newer items");
    await worker.done([retried]);
    assert.deepEqual(items(await worker.claimOne(queue, caps)), numbers(10, 20));
  },

  "release, retire and the death of an owner free the group": async (t) => {
    const queue = await t.queue();
    const caps = { groupConcurrency: 1 };
    await t.add(queue, numbers(10), { group: "g" });
    const first = await t.worker();
    const batch = await first.claimOne(queue, caps);
    await t.storage.release([batch]);
    assert.equal((await first.claimOne(queue, caps)).batch, batch.batch);
    await t.storage.retire(first.incarnation);
    const second = await t.worker();
    assert.equal((await second.claimOne(queue, caps)).batch, batch.batch);
    await t.crash(second);
    const third = await t.worker();
    assert.equal((await third.claimOne(queue, { ...caps, alone: true })).batch, batch.batch);
  },

  "a settlement frees the group for the claim that it rides on": async (t) => {
    const queue = await t.queue();
    const worker = await t.worker();
    const caps = { groupConcurrency: 1 };
    await t.add(queue, numbers(20), { group: "g" });
    const batch = await worker.claimOne(queue, caps);
    const { settled, claimed } = await worker.exchange(queue, {
      ...caps,
      settlements: [settlement(batch, DONE)],
    });
    assert.deepEqual(settled, ["settled"]);
    assert.deepEqual(contents(claimed), [numbers(10, 10)]);
  },

  "a higher groupConcurrency opens a busy group": async (t) => {
    const queue = await t.queue();
    const worker = await t.worker();
    await t.add(queue, numbers(30), { group: "g" });
    assert.equal((await worker.claim(queue, { groupConcurrency: 1 })).length, 1);
    assert.equal((await worker.claim(queue, { groupConcurrency: 2 })).length, 1);
    assert.deepEqual(await worker.claim(queue, { groupConcurrency: 2 }), []);
  },

  "a single item does not wait behind a backlog of 10,000": async (t) => {
    const queue = await t.queue();
    const worker = await t.worker();
    for (let n = 0; n < 20; n++) await t.add(queue, numbers(500, 500 * n), { group: "backlog" });
    await t.pass(WAIT_MS);
    const caps = { maxSize: 100, limit: 1, groupConcurrency: 1 };
    for (let n = 0; n < 3; n++) await worker.done(await worker.claim(queue, caps));
    await t.add(queue, ["alone"], { group: "small", dueInMs: 0 });
    const turns: string[] = [];
    for (let n = 0; n < 2; n++) {
      const batch = await worker.claimOne(queue, caps);
      turns.push(batch.group);
      await worker.done([batch]);
    }
    assert.ok(turns.includes("small"), "the small group is among the next two");
  },

  "groups with a backlog take turns": async (t) => {
    const queue = await t.queue();
    const worker = await t.worker();
    const names = ["a", "b", "c", "d", "e"];
    for (const group of names) await t.add(queue, numbers(40), { group });
    for (let round = 0; round < 4; round++) {
      const turns: string[] = [];
      while (turns.length < names.length) {
        const batch = await worker.claimOne(queue, { limit: 1, groupConcurrency: 1 });
        turns.push(batch.group);
        await worker.done([batch]);
      }
      assert.deepEqual(sorted(turns), names, "each has one turn a round");
    }
  },

  "a group with many batches to try again takes turns with the others": async (t) => {
    const queue = await t.queue();
    const worker = await t.worker();
    await t.add(queue, numbers(8), { group: "many", dueInMs: 0 });
    const parts = children(numbers(8).map((n) => [n]));
    await worker.settle(await worker.claimOne(queue), parts);
    await t.pass(10);
    await t.add(queue, ["one"], { group: "one", dueInMs: 0 });
    const batches = await worker.claim(queue, { groupConcurrency: 1 });
    assert.deepEqual(sorted(batches.map(({ group }) => group)), ["many", "one"]);
    for (const batch of batches) await worker.settle(batch, again(2));
    const turns: string[] = [];
    for (let n = 0; n < 2; n++) {
      const batch = await worker.claimOne(queue, { limit: 1, groupConcurrency: 1 });
      turns.push(batch.group);
      await worker.done([batch]);
    }
    assert.deepEqual(sorted(turns), ["many", "one"]);
  },

  "one claim of several batches serves each group before any a second time": async (t) => {
    const queue = await t.queue();
    const worker = await t.worker();
    await t.add(queue, numbers(200), { group: "large" });
    for (const group of ["b", "c", "d"]) await t.add(queue, numbers(10), { group });
    const claimed = await worker.claim(queue, { limit: 4, groupConcurrency: 10 });
    assert.deepEqual(sorted(claimed.map(({ group }) => group)), ["b", "c", "d", "large"]);
  },

  "one group gets every free slot when nobody else waits": async (t) => {
    const queue = await t.queue();
    const worker = await t.worker();
    await t.add(queue, numbers(35), { group: "g" });
    const claimed = await worker.claim(queue, { limit: 5, groupConcurrency: 5 });
    assert.deepEqual(contents(claimed), [numbers(10), numbers(10, 10), numbers(10, 20)]);
  },

  "limit 0 claims nothing and tells whether there is something": async (t) => {
    const queue = await t.queue();
    const worker = await t.worker();
    const { dueAt } = await t.add(queue, numbers(3));
    const early = await worker.exchange(queue, { limit: 0 });
    assert.deepEqual([early.claimed, early.more, early.nextAt], [[], false, dueAt]);
    await t.pass(WAIT_MS);
    const { claimed, more } = await worker.exchange(queue, { limit: 0 });
    assert.deepEqual([claimed, more], [[], true]);
    assert.equal((await t.storage.counts(queue, null)).waiting, 3);
  },

  "more is false when the limit took all there was": async (t) => {
    const queue = await t.queue();
    const worker = await t.worker();
    await t.add(queue, numbers(25));
    const first = await worker.exchange(queue, { limit: 1 });
    assert.deepEqual([first.claimed.length, first.more], [1, true]);
    const second = await worker.exchange(queue, { limit: 1 });
    assert.deepEqual([second.claimed.length, second.more], [1, false]);
  },

  "the next look is not later than the first due group or retry": async (t) => {
    const queue = await t.queue();
    const worker = await t.worker();
    const failed = await t.claimedBatch(worker, queue, ["failed"]);
    const far = await t.add(queue, ["far"], { group: "far", dueInMs: 9000 });
    assert.equal((await worker.exchange(queue)).nextAt, far.dueAt);
    const near = await t.add(queue, ["near"], { group: "near", dueInMs: 6000 });
    assert.equal((await worker.exchange(queue)).nextAt, near.dueAt);
    await worker.settle(failed, again(2, 3000));
    const { nextAt, now } = await worker.exchange(queue);
    assert.equal(nextAt, now + 3000);
  },

  "a thousand groups are each handed over once": async (t) => {
    const queue = await t.queue();
    const worker = await t.worker();
    const names = numbers(1000).map(String);
    await t.storage.append(names.map((group) => t.chunk(queue, [group], { group, dueInMs: 0 })));
    const found: string[] = [];
    for (let n = 0; n < 10; n++) {
      const batches = await worker.claim(queue, { limit: 100, groupConcurrency: 1 });
      for (const batch of batches) assert.deepEqual(items(batch), [batch.group]);
      found.push(...batches.map(({ group }) => group));
      await worker.done(batches);
    }
    assert.deepEqual(sorted(found), sorted(names));
    assert.deepEqual(await worker.claim(queue), []);
  },
};
