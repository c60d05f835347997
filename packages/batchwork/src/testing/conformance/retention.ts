/** What is kept of work that is over, and handing it over again. */
import assert from "node:assert/strict";

import { itemIds } from "../../core/members.ts";
import { FINISHED_MS_MIN } from "../../core/retention.ts";
import type { ClaimedBatch } from "../../storage/storage.ts";
import { definedQueue, UNLIMITED } from "./definition-fixture.ts";
import {
  DONE,
  items,
  LEASE_MS,
  numbers,
  type Cases,
  type Fixture,
  type Worker,
} from "./fixture.ts";
import { addKeyed, isHeld } from "./keyed-fixture.ts";

const KEPT = { kind: "done", keep: true } as const;

export const retentionCases: Cases = {
  "the items of a batch are kept where its settlement says so": async (t) => {
    const queue = await t.queue();
    const worker = await t.worker();
    const kept = await t.claimedBatch(worker, queue, numbers(3));
    await worker.settle(kept, KEPT);
    const gone = await t.claimedBatch(worker, queue, numbers(3));
    await worker.settle(gone, DONE);
    assert.deepEqual(await keptOf(t, queue), [
      [gone.batch, false],
      [kept.batch, true],
    ]);
    assert.equal(await t.storage.replay(queue, gone.batch), null);
    assert.equal(await t.storage.replay(queue, 999), null);
    const other = await t.queue("other");
    assert.equal(await t.storage.replay(other, kept.batch), null);
  },

  "a replayed batch has the same items with new ids, and says where it came from": async (t) => {
    const queue = await t.queue();
    const worker = await t.worker();
    await t.add(queue, numbers(7), { group: "a", dueInMs: 0 });
    const [first] = await worker.claim(queue, { maxSize: 4 });
    const batch = first ?? assert.fail("four items are a batch");
    await worker.settle(batch, KEPT);
    const id = await t.storage.replay(queue, batch.batch);
    const [again] = await worker.claim(queue, { maxSize: 4 });
    assert.ok(again !== undefined && again.batch === id);
    assert.deepEqual(items(again), items(batch));
    const { group, attempt, parentId, rootId, alone, prepared } = again;
    assert.deepEqual(
      { group, attempt, parentId, rootId, alone, prepared },
      {
        group: "a",
        attempt: 1,
        parentId: batch.batch,
        rootId: batch.batch,
        alone: false,
        prepared: false,
      },
    );
    const before = new Set(itemIds(batch.members));
    assert.ok(itemIds(again.members).every((one) => !before.has(one)));
    await worker.settle(again, DONE);
    const [newest] = await t.storage.history({ queue, group: null, before: null, limit: 1 });
    assert.equal(newest?.parentId, batch.batch);
  },

  "one batch may be replayed more than once, and its replays as well": async (t) => {
    const queue = await t.queue();
    const worker = await t.worker();
    const batch = await t.claimedBatch(worker, queue, ["a", "b"]);
    await worker.settle(batch, KEPT);
    const second = await replayed(t, worker, queue, batch);
    await worker.settle(second, KEPT);
    const third = await replayed(t, worker, queue, second);
    assert.deepEqual([third.parentId, third.rootId], [second.batch, batch.batch]);
    assert.deepEqual(items(third), ["a", "b"]);
    await worker.settle(third, DONE);
    await worker.done([await replayed(t, worker, queue, batch)]);
  },

  "a batch of several chunks, of slices and of single items is kept in its order": async (t) => {
    const queue = await t.queue();
    const worker = await t.worker();
    await t.storage.append([
      t.chunk(queue, numbers(6), { dueInMs: 0 }),
      t.chunk(queue, numbers(6, 10), { dueInMs: 0 }),
    ]);
    const [first, second] = await worker.claim(queue, { maxSize: 8 });
    if (first === undefined || second === undefined) assert.fail("two are due");
    await worker.settle(second, KEPT);
    const child = { positions: [0, 3, 6, 7], attempt: 1, delayMs: 0, error: FAILED };
    await worker.settle(first, { kind: "split", children: [child], dead: [], error: FAILED });
    const picked = await worker.claimOne(queue);
    await worker.settle(picked, KEPT);
    assert.deepEqual(items(await replayed(t, worker, queue, picked)), [0, 3, 10, 11]);
    assert.deepEqual(items(await replayed(t, worker, queue, second)), numbers(4, 12));
  },

  "a prepared batch is replayed as it was prepared": async (t) => {
    const queue = await t.queue();
    const worker = await t.worker();
    const batch = await t.claimedBatch(worker, queue, ["a", "b"]);
    const payload = t.storage.payload === "text" ? '"made"' : ["made"];
    await t.storage.prepare(batch, [{ count: 1, bytes: 6, payload, ids: [null] }]);
    await worker.settle(batch, KEPT);
    const again = await replayed(t, worker, queue, batch);
    assert.deepEqual(items(again), ["made"]);
    assert.ok(again.prepared, "it is not prepared a second time");
  },

  "the key of an item stays with the item, not with its replay": async (t) => {
    const queue = await t.queue();
    const worker = await t.worker();
    await addKeyed(t, queue, [["k", 1]], { keyTtlMs: 60_000 });
    const batch = await worker.claimOne(queue);
    await worker.settle(batch, KEPT);
    const again = await replayed(t, worker, queue, batch);
    await t.pass(60_000);
    assert.ok(!(await isHeld(t, queue, "k")), "the key ended with its item");
    await worker.storage.release([again]);
  },

  "a group that was forgotten is there again for a replay": async (t) => {
    const queue = await t.queue();
    const worker = await t.worker();
    await t.add(queue, [1], { group: "g", dueInMs: 0 });
    const batch = await worker.claimOne(queue);
    await worker.settle(batch, KEPT);
    for (let n = 0; n < 1100; n += 100) {
      const chunks = numbers(100, n).map((item) =>
        t.chunk(queue, [item], { group: `other ${item}`, dueInMs: 0 }),
      );
      await t.storage.append(chunks);
      await worker.done(await worker.claim(queue, { limit: 200 }));
    }
    await t.storage.reap(3);
    const again = await replayed(t, worker, queue, batch);
    assert.equal(again.group, "g");
  },

  "of finished batches so many are kept as the definition says": async (t) => {
    const queue = await definedQueue(t, { completed: { count: 2, ageMs: UNLIMITED } });
    const ids = await finish(t, queue, 5);
    await t.storage.reap(3);
    assert.equal((await keptOf(t, queue)).length, 5, "whoever lost a reply may still ask");
    await t.pass(FINISHED_MS_MIN);
    await t.storage.reap(3);
    assert.deepEqual(await keptOf(t, queue), [
      [ids[4], true],
      [ids[3], true],
    ]);
    assert.equal(await t.storage.replay(queue, ids[0] as number), null);
  },

  "finished batches are kept for as long as the definition says": async (t) => {
    const ageMs = 2 * FINISHED_MS_MIN;
    const queue = await definedQueue(t, { completed: { count: UNLIMITED, ageMs } });
    const old = await finish(t, queue, 2);
    await t.pass(FINISHED_MS_MIN);
    const young = await finish(t, queue, 1);
    await t.storage.reap(3);
    assert.equal((await keptOf(t, queue)).length, 3);
    await t.pass(FINISHED_MS_MIN);
    await t.storage.reap(3);
    assert.deepEqual(await keptOf(t, queue), [[young[0], true]]);
    assert.equal(await t.storage.replay(queue, old[0] as number), null);
  },

  "nothing is kept, or everything, where the definition says so": async (t) => {
    const none = await definedQueue(t, { completed: { count: 0, ageMs: UNLIMITED } }, "none");
    const all = await definedQueue(t, { completed: { count: UNLIMITED, ageMs: UNLIMITED } }, "all");
    await finish(t, none, 3);
    const ids = await finish(t, all, 3);
    await t.pass(100 * FINISHED_MS_MIN);
    await t.storage.reap(3);
    assert.deepEqual(await keptOf(t, none), []);
    assert.deepEqual(
      (await keptOf(t, all)).map(([id]) => id),
      ids.toReversed(),
    );
  },

  "dead letters beyond what the definition keeps are forgotten, oldest first": async (t) => {
    const queue = await definedQueue(t, { failed: { count: 2, ageMs: UNLIMITED } });
    const worker = await t.worker();
    await t.bury(worker, queue, numbers(5));
    await t.storage.reap(3);
    assert.deepEqual(await lettersOf(t, queue), [3, 4]);
  },

  "dead letters are forgotten after as long as the definition says": async (t) => {
    const queue = await definedQueue(t, { failed: { count: UNLIMITED, ageMs: 1000 } });
    const worker = await t.worker();
    await t.bury(worker, queue, [1]);
    await t.pass(999);
    await t.bury(worker, queue, [2]);
    await t.storage.reap(3);
    assert.deepEqual(await lettersOf(t, queue), [1, 2]);
    await t.pass(1);
    await t.storage.reap(3);
    assert.deepEqual(await lettersOf(t, queue), [2]);
  },

  "no dead letter is forgotten that somebody is still to be told of": async (t) => {
    const failed = { count: 0, ageMs: UNLIMITED };
    const queue = await definedQueue(t, { failed }, "orders", true);
    const worker = await t.worker();
    await t.bury(worker, queue, numbers(2));
    await t.storage.reap(3);
    const letters = await t.storage.takeUnnotified([queue], 10, LEASE_MS);
    assert.equal(letters.length, 2);
    await t.storage.acknowledgeDead(letters.slice(0, 1).map(({ id }) => id));
    await t.storage.reap(3);
    assert.deepEqual(await lettersOf(t, queue), [1]);
  },

  "a key is free after its dead letter was forgotten": async (t) => {
    const queue = await definedQueue(t, { failed: { count: 0, ageMs: UNLIMITED } });
    const worker = await t.worker();
    await addKeyed(t, queue, [["k", 1]], { keyTtlMs: 1000 });
    const batch = await worker.claimOne(queue);
    const dead = [{ position: 0, error: FAILED }];
    await worker.settle(batch, { kind: "split", children: [], dead, error: FAILED });
    assert.ok(await isHeld(t, queue, "k"));
    await t.storage.reap(3);
    await t.pass(1000);
    assert.ok(!(await isHeld(t, queue, "k")));
  },
};

const FAILED = { name: "Error", message: "no luck" };

/** Finishes so many batches of one item each, all of them kept. */
async function finish(t: Fixture, queue: number, count: number): Promise<number[]> {
  const worker = await t.worker();
  const ids: number[] = [];
  for (let n = 0; n < count; n++) {
    const batch = await t.claimedBatch(worker, queue, [n]);
    ids.push(batch.batch);
    await worker.settle(batch, KEPT);
  }
  return ids;
}

/** The finished batches, newest first, and whether their items are kept. */
async function keptOf(t: Fixture, queue: number): Promise<[number, boolean][]> {
  const rows = await t.storage.history({ queue, group: null, before: null, limit: 100 });
  return rows.map(({ batch, kept }) => [batch, kept]);
}

async function lettersOf(t: Fixture, queue: number): Promise<unknown[]> {
  const rows = await t.storage.deadLetters({ queue, group: null, after: 0, limit: 100 });
  return rows.map(({ payload }) => {
    return typeof payload === "string" ? (JSON.parse(payload) as unknown) : payload[0];
  });
}

/** Replays a batch and claims it. */
async function replayed(
  t: Fixture,
  worker: Worker,
  queue: number,
  { batch }: ClaimedBatch,
): Promise<ClaimedBatch> {
  const id = await t.storage.replay(queue, batch);
  const claimed = await worker.claimOne(queue);
  assert.equal(claimed.batch, id);
  return claimed;
}
