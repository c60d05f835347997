/** flush() and drain(): making items due, and knowing when they have been dealt with. */
import assert from "node:assert/strict";

import type { Outstanding } from "../../storage/storage.ts";
import {
  again,
  type Cases,
  children,
  contents,
  DONE,
  type Fixture,
  items,
  numbers,
  sorted,
} from "./fixture.ts";

/** What is left from before the mark: of first attempts, and of everything. */
async function left(
  t: Fixture,
  queue: number,
  mark: number,
  group: string | null = null,
): Promise<number[]> {
  const counts: number[] = [];
  for (const until of ["attempted", "finished"] satisfies Outstanding["until"][]) {
    counts.push(await t.storage.outstanding({ queue, group, mark, until }));
  }
  return counts;
}

export const flushCases: Cases = {
  "what waits in any group is due at once": async (t) => {
    const queue = await t.queue();
    const worker = await t.worker();
    for (const group of ["a", "b", "c"]) await t.add(queue, [group], { group });
    await t.storage.makeDue(queue, null);
    const { claimed, nextAt } = await worker.exchange(queue);
    assert.deepEqual(sorted(claimed.map(({ group }) => group)), ["a", "b", "c"]);
    assert.equal(nextAt, null);
  },

  "flushing one group leaves the others waiting": async (t) => {
    const queue = await t.queue();
    const worker = await t.worker();
    for (const group of ["orders", "orders:eu", ""]) await t.add(queue, [group], { group });
    await t.storage.makeDue(queue, "orders");
    assert.deepEqual(contents(await worker.claim(queue)), [["orders"]]);
    await t.storage.makeDue(queue, "");
    assert.deepEqual(contents(await worker.claim(queue)), [[""]]);
    await t.storage.makeDue(queue, "no such group");
    assert.deepEqual(await worker.claim(queue), []);
  },

  "flushing one queue leaves the others waiting": async (t) => {
    const one = await t.queue("one");
    const two = await t.queue("two");
    const worker = await t.worker();
    await t.add(one, ["1"]);
    await t.add(two, ["2"]);
    await t.storage.makeDue(one, null);
    assert.deepEqual(await worker.claim(two), []);
    assert.deepEqual(contents(await worker.claim(one)), [["1"]]);
  },

  "a flushed backlog is due to its last item": async (t) => {
    const queue = await t.queue();
    const worker = await t.worker();
    await t.add(queue, numbers(12));
    await t.add(queue, numbers(13, 12));
    await t.storage.makeDue(queue, null);
    assert.deepEqual(items(await worker.claimOne(queue, { limit: 1 })), numbers(10));
    const rest = await worker.claim(queue);
    assert.deepEqual(contents(rest), [numbers(10, 10), numbers(5, 20)]);
    assert.equal(rest[1]?.reason, "flush");
  },

  "items that come after a flush are not due by it": async (t) => {
    const queue = await t.queue();
    const worker = await t.worker();
    await t.add(queue, ["before"]);
    await t.storage.makeDue(queue, null);
    await worker.claimOne(queue);
    await t.add(queue, ["after"]);
    assert.deepEqual(await worker.claim(queue), []);
  },

  "an empty queue can be flushed, and nothing is outstanding": async (t) => {
    const queue = await t.queue();
    const mark = await t.storage.makeDue(queue, null);
    assert.deepEqual(await left(t, queue, mark), [0, 0]);
    await t.add(queue, ["later"]);
    assert.deepEqual(await left(t, queue, mark), [0, 0]);
    assert.deepEqual(await (await t.worker()).claim(queue), []);
  },

  "a paused queue makes nothing due, not even after it is resumed": async (t) => {
    const queue = await t.queue();
    const worker = await t.worker();
    await t.add(queue, ["a"]);
    await t.storage.setPaused([queue], true);
    const mark = await t.storage.makeDue(queue, null);
    assert.deepEqual(await left(t, queue, mark), [1, 1]);
    await t.storage.setPaused([queue], false);
    assert.deepEqual(await worker.claim(queue), []);
  },

  "a waiting group is outstanding until its first attempt ended": async (t) => {
    const queue = await t.queue();
    const worker = await t.worker();
    await t.add(queue, ["a"]);
    const mark = await t.storage.makeDue(queue, null);
    assert.deepEqual(await left(t, queue, mark), [1, 1]);
    const batch = await worker.claimOne(queue);
    assert.deepEqual(await left(t, queue, mark), [1, 1]);
    await worker.settle(batch, again(2));
    assert.deepEqual(await left(t, queue, mark), [0, 1]);
    const retried = await worker.claimOne(queue);
    assert.deepEqual(await left(t, queue, mark), [0, 1]);
    await worker.settle(retried, DONE);
    assert.deepEqual(await left(t, queue, mark), [0, 0]);
  },

  "a batch that was given back has not ended its attempt": async (t) => {
    const queue = await t.queue();
    const worker = await t.worker();
    const batch = await t.claimedBatch(worker, queue, ["a"]);
    const mark = await t.storage.makeDue(queue, null);
    await t.storage.release([batch]);
    assert.deepEqual(await left(t, queue, mark), [1, 1]);
    await worker.claimOne(queue);
    await t.crash(worker);
    assert.deepEqual(await left(t, queue, mark), [1, 1]);
  },

  "the parts of a failed batch were attempted, and are not finished": async (t) => {
    const queue = await t.queue();
    const worker = await t.worker();
    const batch = await t.claimedBatch(worker, queue, ["a", "b", "c"]);
    const mark = await t.storage.makeDue(queue, null);
    await worker.settle(batch, children([[0], [2]], 1));
    assert.deepEqual(await left(t, queue, mark), [0, 2]);
    await worker.done(await worker.claim(queue));
    assert.deepEqual(await left(t, queue, mark), [0, 0]);
  },

  "dead items are not outstanding": async (t) => {
    const queue = await t.queue();
    const worker = await t.worker();
    await t.bury(worker, queue, ["a", "b"]);
    const mark = await t.storage.makeDue(queue, null);
    assert.deepEqual(await left(t, queue, mark), [0, 0]);
  },

  "redriven items came after the mark": async (t) => {
    const queue = await t.queue();
    await t.bury(await t.worker(), queue, ["a"]);
    const mark = await t.storage.makeDue(queue, null);
    assert.equal(await t.storage.redrive(queue, "all"), 1);
    assert.deepEqual(await left(t, queue, mark), [0, 0]);
  },

  "what came after the mark is not outstanding": async (t) => {
    const queue = await t.queue();
    const worker = await t.worker();
    await t.add(queue, ["old"], { group: "old" });
    const mark = await t.storage.makeDue(queue, null);
    await t.add(queue, ["new"], { group: "new" });
    assert.deepEqual(await left(t, queue, mark), [1, 1]);
    await worker.done(await worker.claim(queue));
    await t.storage.makeDue(queue, null);
    const fresh = await worker.claimOne(queue);
    assert.deepEqual(items(fresh), ["new"]);
    assert.deepEqual(await left(t, queue, mark), [0, 0]);
  },

  "a batch with one item from before the mark is outstanding": async (t) => {
    const queue = await t.queue();
    const worker = await t.worker();
    await t.add(queue, ["old"]);
    const mark = await t.storage.makeDue(queue, null);
    await t.add(queue, ["new"]);
    await t.storage.makeDue(queue, null);
    const batch = await worker.claimOne(queue);
    assert.deepEqual(items(batch), ["old", "new"]);
    assert.deepEqual(await left(t, queue, mark), [1, 1]);
    await worker.done([batch]);
    assert.deepEqual(await left(t, queue, mark), [0, 0]);
  },

  "every batch and every group is counted, and one group by itself": async (t) => {
    const queue = await t.queue();
    const worker = await t.worker();
    await t.add(queue, numbers(25), { group: "a" });
    await t.add(queue, numbers(5), { group: "b" });
    await t.add(queue, numbers(5), { group: "c" });
    await worker.claim(queue);
    const mark = await t.storage.makeDue(queue, null);
    assert.deepEqual(await left(t, queue, mark), [5, 5], "two batches of a, and three groups");
    assert.deepEqual(await left(t, queue, mark, "a"), [3, 3]);
    assert.deepEqual(await left(t, queue, mark, "b"), [1, 1]);
    assert.deepEqual(await left(t, queue, mark, "d"), [0, 0]);
  },

  "another queue's items are not outstanding here": async (t) => {
    const queue = await t.queue("one");
    const other = await t.queue("two");
    await t.add(other, numbers(3));
    await t.claimedBatch(await t.worker(), other, numbers(3));
    const mark = await t.storage.makeDue(queue, null);
    assert.deepEqual(await left(t, queue, mark), [0, 0]);
  },
};
