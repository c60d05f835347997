/** What `beforeFlush` made of a batch is stored under its token, once. */
import assert from "node:assert/strict";

import { itemIds } from "../../core/members.ts";
import type { PreparedPart } from "../../storage/preparation.ts";
import type { ClaimedBatch } from "../../storage/storage.ts";
import {
  again,
  children,
  DONE,
  FAILURE,
  items,
  numbers,
  type Cases,
  type Fixture,
  type Worker,
} from "./fixture.ts";

/** A part of these items, with the ids that they had before. */
export function part(
  t: Fixture,
  made: readonly unknown[],
  ids: readonly (string | null)[],
): PreparedPart {
  const { count, bytes, payload } = t.chunk(0, made);
  return { count, bytes, payload, ids };
}

/** The batch once its worker is dead and another one has it. */
async function nextDelivery(t: Fixture, worker: Worker, queue: number): Promise<ClaimedBatch> {
  await t.crash(worker);
  return (await t.worker()).claimOne(queue, { alone: true });
}

export const preparationCases: Cases = {
  "a batch that was just sealed is not prepared": async (t) => {
    const queue = await t.queue();
    const batch = await t.claimedBatch(await t.worker(), queue, [1, 2]);
    assert.equal(batch.prepared, false);
  },

  "a batch that is left as it is keeps its items and is prepared": async (t) => {
    const queue = await t.queue();
    const worker = await t.worker();
    const batch = await t.claimedBatch(worker, queue, [1, 2]);
    assert.deepEqual(await t.storage.prepare(batch, null), batch.members);
    const later = await nextDelivery(t, worker, queue);
    assert.equal(later.batch, batch.batch);
    assert.equal(later.prepared, true);
    assert.deepEqual(items(later), [1, 2]);
  },

  "new items take the place of the old ones in every later delivery": async (t) => {
    const queue = await t.queue();
    const worker = await t.worker();
    const batch = await t.claimedBatch(worker, queue, [1, 2, 3]);
    const [first, , third] = itemIds(batch.members);
    const ids = [third as string, null, first as string];
    const members = await t.storage.prepare(batch, [part(t, ["c", "new", "a"], ids)]);
    assert.ok(members !== null);
    const kept = itemIds(members);
    assert.deepEqual([kept[0], kept[2]], [third, first], "items keep their ids");
    const later = await nextDelivery(t, worker, queue);
    assert.deepEqual(items(later), ["c", "new", "a"]);
    assert.deepEqual(itemIds(later.members), kept);
    assert.equal(later.count, 3);
    assert.equal(later.bytes, t.storage.payload === "text" ? 11 : later.bytes);
    assert.equal(later.prepared, true);
    assert.equal(later.attempt, 1);
  },

  "a new item gets an id that no other item has": async (t) => {
    const queue = await t.queue();
    const worker = await t.worker();
    const batch = await t.claimedBatch(worker, queue, [1, 2]);
    const members = await t.storage.prepare(batch, [part(t, [7, 8, 9], [null, null, null])]);
    const ids = itemIds(members ?? []);
    const all = new Set([...ids, ...itemIds(batch.members)]);
    assert.equal(all.size, 5);
    await t.add(queue, [10], { dueInMs: 0 });
    const other = await worker.claimOne(queue);
    assert.equal(all.has(itemIds(other.members)[0] as string), false);
    assert.deepEqual(items(other), [10]);
  },

  "several parts are one batch, in their order": async (t) => {
    const queue = await t.queue();
    const worker = await t.worker();
    const batch = await t.claimedBatch(worker, queue, [1]);
    const parts = [part(t, [1, 2], [null, null]), part(t, [3], [null])];
    await t.storage.prepare(batch, parts);
    const later = await nextDelivery(t, worker, queue);
    assert.deepEqual(items(later), [1, 2, 3]);
  },

  "nothing is stored for a lease that was lost": async (t) => {
    const queue = await t.queue();
    const worker = await t.worker();
    const batch = await t.claimedBatch(worker, queue, [1, 2]);
    const later = await nextDelivery(t, worker, queue);
    assert.equal(await t.storage.prepare(batch, [part(t, ["stale"], [null])]), null);
    assert.equal(await t.storage.prepare(batch, null), null);
    assert.equal(later.prepared, false);
    await t.storage.release([later]);
    const last = await (await t.worker()).claimOne(queue, { alone: true });
    assert.deepEqual(items(last), [1, 2]);
    assert.equal(last.prepared, false);
  },

  "nothing is stored for a batch that is done": async (t) => {
    const queue = await t.queue();
    const worker = await t.worker();
    const batch = await t.claimedBatch(worker, queue, [1]);
    await worker.done([batch]);
    assert.equal(await t.storage.prepare(batch, [part(t, [2], [null])]), null);
    assert.equal((await t.storage.counts(queue, null)).waiting, 0);
  },

  "the same call again answers the same and changes nothing": async (t) => {
    const queue = await t.queue();
    const worker = await t.worker();
    const batch = await t.claimedBatch(worker, queue, [1, 2]);
    const parts = [part(t, ["a"], [null])];
    const first = await t.storage.prepare(batch, parts);
    assert.deepEqual(await t.storage.prepare(batch, parts), first);
    assert.deepEqual(items(await nextDelivery(t, worker, queue)), ["a"]);
  },

  "a batch is prepared once, also under a later token": async (t) => {
    const queue = await t.queue();
    const worker = await t.worker();
    const batch = await t.claimedBatch(worker, queue, [1, 2]);
    await t.storage.prepare(batch, [part(t, ["a"], [null])]);
    const later = await nextDelivery(t, worker, queue);
    await t.storage.prepare(later, [part(t, ["b"], [null])]);
    await t.storage.release([later]);
    const last = await (await t.worker()).claimOne(queue, { alone: true });
    assert.deepEqual(items(last), ["a"]);
  },

  "a retry is of the new items": async (t) => {
    const queue = await t.queue();
    const worker = await t.worker();
    const batch = await t.claimedBatch(worker, queue, [1, 2]);
    await t.storage.prepare(batch, [part(t, ["a", "b", "c"], [null, null, null])]);
    assert.equal(await worker.settle(batch, again(2)), "settled");
    const retry = await worker.claimOne(queue);
    assert.equal(retry.batch, batch.batch);
    assert.equal(retry.prepared, true);
    assert.deepEqual(items(retry), ["a", "b", "c"]);
  },

  "parts of a prepared batch are prepared, and carry its items and their ids": async (t) => {
    const queue = await t.queue();
    const worker = await t.worker();
    const batch = await t.claimedBatch(worker, queue, [1, 2, 3]);
    const [, second] = itemIds(batch.members);
    const parts = [part(t, ["a", "b"], [null, second as string]), part(t, ["c"], [null])];
    const ids = itemIds((await t.storage.prepare(batch, parts)) ?? []);
    assert.equal(await worker.settle(batch, children([[1, 2], [0]])), "settled");
    const found = await worker.claim(queue);
    assert.deepEqual(found.map(items), [["b", "c"], ["a"]]);
    assert.deepEqual(
      found.map(({ members }) => itemIds(members)),
      [[ids[1], ids[2]], [ids[0]]],
    );
    assert.ok(found.every(({ prepared }) => prepared));
    assert.equal(ids[1], second);
    const [first] = found as readonly [ClaimedBatch];
    assert.equal(await worker.settle(first, children([[1]])), "settled");
    assert.deepEqual(itemIds((await worker.claimOne(queue)).members), [ids[2]]);
  },

  "a dead letter is the new item under the id it kept": async (t) => {
    const queue = await t.queue();
    const worker = await t.worker();
    const batch = await t.claimedBatch(worker, queue, [1, 2]);
    const [first] = itemIds(batch.members);
    await t.storage.prepare(batch, [part(t, ["new", "one"], [null, first as string])]);
    const dead = [{ position: 1, error: FAILURE }];
    const outcome = { kind: "split", children: [], dead, error: FAILURE } as const;
    assert.equal(await worker.settle(batch, outcome), "settled");
    const query = { queue, group: null, after: 0, limit: 10 };
    const [letter] = await t.storage.deadLetters(query);
    assert.equal(letter?.itemId, first);
    assert.equal(await t.storage.redrive(queue, "all"), 1);
    const back = await worker.claimOne(queue);
    assert.deepEqual(items(back), ["one"]);
    assert.equal(back.prepared, false);
  },

  "drain waits for the parts of a prepared batch from before it": async (t) => {
    const queue = await t.queue();
    const worker = await t.worker();
    const batch = await t.claimedBatch(worker, queue, [1, 2]);
    const mark = await t.storage.makeDue(queue, null);
    await t.storage.prepare(batch, [part(t, ["a", "b"], [null, null])]);
    assert.equal(await worker.settle(batch, children([[0], [1]])), "settled");
    const query = { queue, group: null, mark, until: "finished" } as const;
    assert.equal(await t.storage.outstanding(query), 2);
    await worker.done(await worker.claim(queue));
    assert.equal(await t.storage.outstanding(query), 0);
  },

  "a batch of part of a chunk leaves the rest of it alone": async (t) => {
    const queue = await t.queue();
    const worker = await t.worker();
    await t.add(queue, numbers(5), { dueInMs: 0 });
    const [first, second] = (await worker.claim(queue, { maxSize: 3 })) as [
      ClaimedBatch,
      ClaimedBatch,
    ];
    await t.storage.prepare(first, [part(t, ["a"], [null])]);
    assert.equal(await worker.settle(first, DONE), "settled");
    assert.equal(await worker.settle(second, again(2)), "settled");
    assert.deepEqual(items(await worker.claimOne(queue)), [3, 4]);
  },

  "an item of several lines of text is one item": async (t) => {
    const queue = await t.queue();
    const worker = await t.worker();
    const batch = await t.claimedBatch(worker, queue, [1]);
    const made = ["a,\nb", 'quote " and \\ and \u0000', { c: [1, 2] }];
    await t.storage.prepare(batch, [part(t, made, [null, null, null])]);
    assert.deepEqual(items(await nextDelivery(t, worker, queue)), made);
  },
};
