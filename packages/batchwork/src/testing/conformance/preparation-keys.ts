/** What becomes of idempotency keys when `beforeFlush` changes a batch. */
import assert from "node:assert/strict";

import { itemIds } from "../../core/members.ts";
import { again, children, FAILURE, type Cases } from "./fixture.ts";
import { addKeyed, heldFor, isHeld, TTL_MS } from "./keyed-fixture.ts";
import { part } from "./preparation.ts";

export const preparationKeyCases: Cases = {
  "the key of an item that is left out ends then; those that stay are held": async (t) => {
    const queue = await t.queue();
    const worker = await t.worker(t.storage, 100 * TTL_MS);
    const [a] = await addKeyed(t, queue, [
      ["a", 1],
      ["b", 2],
    ]);
    const batch = await worker.claimOne(queue);
    await t.storage.prepare(batch, [part(t, ["changed"], [a as string])]);
    await heldFor(t, queue, "b", TTL_MS);
    assert.ok(await isHeld(t, queue, "a"), "its item goes on");
    assert.deepEqual(await addKeyed(t, queue, [["a", 1]]), [`=${a}`]);
    assert.equal(await worker.settle(batch, again(2)), "settled");
    await worker.done(await worker.claim(queue));
    await heldFor(t, queue, "a", TTL_MS);
  },

  "the keys of all items end with a batch in another order": async (t) => {
    const queue = await t.queue();
    const worker = await t.worker(t.storage, 100 * TTL_MS);
    const [a, b] = (await addKeyed(t, queue, [
      ["a", 1],
      ["b", 2],
    ])) as [string, string];
    const batch = await worker.claimOne(queue);
    await t.storage.prepare(batch, [part(t, [2, "new"], [b, null]), part(t, [1], [a])]);
    await worker.done([batch]);
    await heldFor(t, queue, "a", TTL_MS);
    assert.ok(!(await isHeld(t, queue, "b")));
  },

  "a key stays with its item through a split, death and redrive": async (t) => {
    const queue = await t.queue();
    const worker = await t.worker(t.storage, 100 * TTL_MS);
    const [a, b] = (await addKeyed(t, queue, [
      ["a", 1],
      ["b", 2],
    ])) as [string, string];
    const batch = await worker.claimOne(queue);
    await t.storage.prepare(batch, [part(t, ["new", 2, 1], [null, b, a])]);
    assert.equal(await worker.settle(batch, children([[1, 2]])), "settled");
    const child = await worker.claimOne(queue);
    assert.deepEqual(itemIds(child.members), [b, a]);
    const dead = [{ position: 1, error: FAILURE }];
    const outcome = { kind: "split", children: [], dead, error: FAILURE } as const;
    assert.equal(await worker.settle(child, outcome), "settled");
    await heldFor(t, queue, "b", TTL_MS);
    assert.ok(await isHeld(t, queue, "a"), "dead is not ended");
    await t.storage.redrive(queue, "all");
    await worker.done(await worker.claim(queue));
    await heldFor(t, queue, "a", TTL_MS);
  },
};
