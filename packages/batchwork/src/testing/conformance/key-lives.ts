/** For how long an idempotency key is held. */
import assert from "node:assert/strict";

import { itemIds } from "../../core/members.ts";
import {
  again,
  children,
  DONE,
  FAILURE,
  LEASE_MS,
  type Cases,
  type Fixture,
  type Worker,
} from "./fixture.ts";
import { addKeyed, heldFor, isHeld, TTL_MS } from "./keyed-fixture.ts";

/** Adds items under keys, and claims the batch of them. */
async function claimedKeys(
  t: Fixture,
  worker: Worker,
  queue: number,
  keys: readonly string[],
): ReturnType<Worker["claimOne"]> {
  await addKeyed(
    t,
    queue,
    keys.map((key) => [key, key] as const),
  );
  return worker.claimOne(queue);
}

export const keyLifeCases: Cases = {
  "it is held while its item waits, runs, is tried again and is given back": async (t) => {
    const queue = await t.queue();
    const worker = await t.worker();
    await addKeyed(t, queue, [["a", 1]]);
    await t.pass(10 * TTL_MS);
    assert.ok(await isHeld(t, queue, "a"), "waiting");
    const beater = await t.worker();
    let batch = await beater.claimOne(queue);
    assert.ok(await isHeld(t, queue, "a"), "leased");
    assert.equal(await beater.settle(batch, again(2, 10 * TTL_MS)), "settled");
    await t.pass(10 * TTL_MS);
    assert.ok(await isHeld(t, queue, "a"), "tried again");
    const late = await t.worker();
    batch = await late.claimOne(queue);
    await t.storage.release([batch]);
    await t.pass(10 * TTL_MS);
    assert.ok(await isHeld(t, queue, "a"), "given back");
    assert.notEqual(worker.incarnation, late.incarnation);
  },

  "it is held for so long after its item was done, and then the key is new": async (t) => {
    const queue = await t.queue();
    const worker = await t.worker();
    await addKeyed(t, queue, [["a", 1]]);
    await t.pass(LEASE_MS / 2);
    await worker.done(await worker.claim(queue));
    await heldFor(t, queue, "a", TTL_MS);
    const [id] = await addKeyed(t, queue, [["a", "other"]]);
    assert.ok(!id?.startsWith("="));
    assert.ok(await isHeld(t, queue, "a"), "and held again");
  },

  "0 forgets it with the item, Infinity never": async (t) => {
    const queue = await t.queue();
    const worker = await t.worker();
    await addKeyed(t, queue, [["none", 1]], { keyTtlMs: 0 });
    await addKeyed(t, queue, [["ever", 2]], { keyTtlMs: Number.POSITIVE_INFINITY });
    assert.ok(await isHeld(t, queue, "none"));
    await worker.done(await worker.claim(queue));
    assert.ok(!(await isHeld(t, queue, "none")));
    await t.pass(1000 * TTL_MS);
    await t.storage.reap(3);
    assert.ok(await isHeld(t, queue, "ever"));
  },

  "the keys of one chunk end each with its own item": async (t) => {
    const queue = await t.queue();
    const worker = await t.worker();
    const keys = ["a", "b", "c", "d", "e"];
    await addKeyed(
      t,
      queue,
      keys.map((key) => [key, key] as const),
    );
    const first = await worker.claimOne(queue, { maxSize: 2, limit: 1 });
    const second = await worker.claimOne(queue, { maxSize: 2, limit: 1 });
    await worker.done([first]);
    await t.pass(TTL_MS / 2);
    const beater = await t.worker();
    assert.equal(await t.storage.heartbeat(worker.incarnation, 10 * TTL_MS), true);
    await worker.done([second]);
    await t.pass(TTL_MS / 2);
    const held: string[] = [];
    for (const key of keys) if (await isHeld(t, queue, key)) held.push(key);
    assert.deepEqual(held, ["c", "d", "e"]);
    await beater.done(await beater.claim(queue));
    await heldFor(t, queue, "e", TTL_MS);
  },

  "of a split, those that go on are held, and those that are done end": async (t) => {
    const queue = await t.queue();
    const worker = await t.worker();
    const batch = await claimedKeys(t, worker, queue, ["a", "b", "c", "d"]);
    assert.equal(await worker.settle(batch, children([[1], [3]])), "settled");
    await t.pass(TTL_MS);
    const beater = await t.worker();
    for (const [key, held] of [
      ["a", false],
      ["b", true],
      ["c", false],
      ["d", true],
    ] as const) {
      assert.equal(await isHeld(t, queue, key), held, key);
    }
    await beater.done(await beater.claim(queue));
    await heldFor(t, queue, "d", TTL_MS);
    assert.ok(!(await isHeld(t, queue, "b")));
  },

  "it is held while its item is dead, and so long after it was discarded": async (t) => {
    const queue = await t.queue();
    const worker = await t.worker();
    const batch = await claimedKeys(t, worker, queue, ["done", "dead", "kept"]);
    const dead = [1, 2].map((position) => ({ position, error: FAILURE }));
    const outcome = { kind: "split", children: [], dead, error: FAILURE } as const;
    assert.equal(await worker.settle(batch, outcome), "settled");
    await t.pass(TTL_MS);
    assert.ok(!(await isHeld(t, queue, "done")));
    await t.pass(10 * TTL_MS);
    const query = { queue, group: null, after: 0, limit: 10 };
    const [letter] = await t.storage.deadLetters(query);
    assert.equal(await t.storage.discard(queue, [letter?.id as number]), 1);
    await heldFor(t, queue, "dead", TTL_MS);
    assert.ok(await isHeld(t, queue, "kept"));
    assert.equal(await t.storage.discard(queue, "all"), 1);
    await heldFor(t, queue, "kept", TTL_MS);
  },

  "a redrive keeps it, under the item's new id": async (t) => {
    const queue = await t.queue();
    const worker = await t.worker();
    const batch = await claimedKeys(t, worker, queue, ["a", "b"]);
    const dead = [0, 1].map((position) => ({ position, error: FAILURE }));
    const outcome = { kind: "split", children: [], dead, error: FAILURE } as const;
    assert.equal(await worker.settle(batch, outcome), "settled");
    assert.equal(await t.storage.redrive(queue, "all"), 2);
    const once = await worker.claimOne(queue);
    const ids = itemIds(once.members);
    const repeat = await addKeyed(t, queue, [
      ["b", "b"],
      ["a", "a"],
    ]);
    assert.deepEqual(
      repeat,
      ids.toReversed().map((id) => `=${id}`),
    );
    await worker.done([once]);
    await heldFor(t, queue, "a", TTL_MS);
    assert.ok(!(await isHeld(t, queue, "b")));
  },

  "crashes do not end it, nor does the death they end in": async (t) => {
    const queue = await t.queue();
    await addKeyed(t, queue, [["a", 1]]);
    let worker = await t.worker();
    await worker.claimOne(queue);
    assert.equal(await t.crash(worker, 1), 0);
    assert.ok(await isHeld(t, queue, "a"), "a suspect");
    worker = await t.worker();
    await worker.claimOne(queue, { alone: true });
    assert.equal(await t.crash(worker, 1), 1);
    await t.pass(10 * TTL_MS);
    assert.ok(await isHeld(t, queue, "a"), "dead");
    assert.equal(await t.storage.discard(queue, "all"), 1);
    await heldFor(t, queue, "a", TTL_MS);
  },

  "a settlement that is lost ends nothing": async (t) => {
    const queue = await t.queue();
    const zombie = await t.worker();
    const batch = await claimedKeys(t, zombie, queue, ["a"]);
    await t.crash(zombie);
    assert.equal(await zombie.settle(batch, DONE), "lost");
    await t.pass(10 * TTL_MS);
    assert.ok(await isHeld(t, queue, "a"));
  },

  "a batch that is settled in a transaction ends its keys as well": async (t) => {
    const queue = await t.queue();
    const worker = await t.worker();
    const { batch, token } = await claimedKeys(t, worker, queue, ["a"]);
    await t.storage.transact({
      lease: { batch, token },
      run: () => undefined,
      outcome: () => DONE,
    });
    await heldFor(t, queue, "a", TTL_MS);
  },

  "what is held no longer is forgotten by the reaper, and nothing else is": async (t) => {
    const queue = await t.queue();
    const worker = await t.worker();
    await claimedKeys(t, worker, queue, ["old"]).then(async (batch) => worker.done([batch]));
    await t.pass(TTL_MS);
    const late = await t.worker();
    await addKeyed(t, queue, [["young", 2]]);
    await late.done(await late.claim(queue));
    await addKeyed(t, queue, [["waiting", 3]]);
    await t.storage.reap(3);
    assert.ok(!(await isHeld(t, queue, "old")));
    assert.ok(await isHeld(t, queue, "young"));
    assert.ok(await isHeld(t, queue, "waiting"));
    await heldFor(t, queue, "young", TTL_MS);
  },
};
