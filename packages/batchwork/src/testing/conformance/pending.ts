/** Limits on what is pending. */
import assert from "node:assert/strict";

import { itemIds } from "../../core/members.ts";
import type { Outcome } from "../../core/settle.ts";
import {
  addLimited,
  atMost,
  definedQueue,
  fill,
  limited,
  PLAIN,
  refused,
  UNLIMITED,
} from "./definition-fixture.ts";
import { again, DONE, FAILURE, LEASE_MS, numbers, type Cases, type Fixture } from "./fixture.ts";
import { idsOf, keyedAppend } from "./keyed-fixture.ts";

export const pendingCases: Cases = {
  "what fits is stored, and what does not is refused with how much would": async (t) => {
    const limit = atMost(5);
    const queue = await definedQueue(t, { maxPending: limit });
    await addLimited(t, queue, limit, numbers(3));
    assert.equal((await refused(addLimited(t, queue, limit, numbers(3)))).items, 2);
    await addLimited(t, queue, limit, numbers(2));
    assert.equal((await refused(addLimited(t, queue, limit, [1]))).items, 0);
    assert.equal((await t.storage.counts(queue, null)).waiting, 5);
  },

  "bytes are limited as items are": async (t) => {
    const limit = { items: UNLIMITED, bytes: 10 };
    const queue = await definedQueue(t, { maxPending: limit });
    await addLimited(t, queue, limit, ["1234"]);
    assert.deepEqual(await refused(addLimited(t, queue, limit, ["123"])), {
      items: UNLIMITED,
      bytes: 4,
    });
    await addLimited(t, queue, limit, ["12"]);
    assert.equal((await t.storage.counts(queue, null)).waiting, 2);
  },

  "an append is stored as a whole or not at all": async (t) => {
    const limit = atMost(5);
    const queue = await definedQueue(t, { maxPending: limit });
    const chunk = (count: number, group: string): ReturnType<typeof limited> =>
      limited(t, queue, limit, numbers(count), { group });
    await refused(t.storage.append([chunk(3, "a"), chunk(3, "b")]));
    const other = await t.queue("other");
    await refused(t.storage.append([t.chunk(other, [1]), chunk(6, "a")]));
    assert.equal((await t.storage.counts(queue, null)).waiting, 0);
    assert.equal((await t.storage.counts(other, null)).waiting, 0);
    await t.storage.append([chunk(3, "a"), chunk(2, "b")]);
  },

  "queues have limits of their own, and others have none": async (t) => {
    const limit = atMost(1);
    const queue = await definedQueue(t, { maxPending: limit });
    const second = await definedQueue(t, { maxPending: limit }, "second");
    const free = await t.queue("free");
    await addLimited(t, queue, limit, [1]);
    await t.add(free, numbers(10));
    await addLimited(t, second, limit, [1]);
    await refused(addLimited(t, second, limit, [2]));
  },

  "what is done makes room, what runs or is tried again does not": async (t) => {
    const limit = atMost(4);
    const queue = await definedQueue(t, { maxPending: limit });
    const worker = await t.worker();
    await addLimited(t, queue, limit, numbers(4));
    const batch = await worker.claimOne(queue);
    await refused(addLimited(t, queue, limit, [1]));
    await worker.settle(batch, again(2));
    await refused(addLimited(t, queue, limit, [1]));
    await worker.settle(await worker.claimOne(queue), DONE);
    await addLimited(t, queue, limit, numbers(4));
    await refused(addLimited(t, queue, limit, [1]));
  },

  "of a batch that is divided, what is done or dead makes room": async (t) => {
    const limit = { items: 10, bytes: 20 };
    const queue = await definedQueue(t, { maxPending: limit });
    const worker = await t.worker();
    await addLimited(t, queue, limit, numbers(10));
    const batch = await worker.claimOne(queue);
    const outcome: Outcome = {
      kind: "split",
      children: [{ positions: [0, 2], attempt: 2, delayMs: 0, error: FAILURE }],
      dead: [{ position: 1, error: FAILURE }],
      error: FAILURE,
    };
    await worker.settle(batch, outcome);
    assert.equal((await refused(addLimited(t, queue, limit, numbers(9)))).items, 8);
    await addLimited(t, queue, limit, numbers(8));
    await refused(addLimited(t, queue, limit, [1]));
    await worker.done(await worker.claim(queue));
    assert.equal(await fill(t, queue, limit, 20), 10);
  },

  "dead letters that are put back count, and are never refused": async (t) => {
    const limit = atMost(3);
    const queue = await definedQueue(t, { maxPending: limit });
    const worker = await t.worker();
    await t.bury(worker, queue, numbers(3));
    await addLimited(t, queue, limit, numbers(3));
    assert.equal(await t.storage.redrive(queue, "all"), 3);
    assert.equal((await t.storage.counts(queue, null)).waiting, 6);
    await worker.done(await worker.claim(queue, { maxSize: 3, limit: 1 }));
    await refused(addLimited(t, queue, limit, [1]));
    await worker.done(await worker.claim(queue, { maxSize: 3 }));
    assert.equal(await fill(t, queue, limit, 5), 3);
  },

  "a crash makes no room, death by one does": async (t) => {
    const limit = atMost(2);
    const queue = await definedQueue(t, { maxPending: limit });
    const worker = await t.worker();
    await addLimited(t, queue, limit, numbers(2));
    await worker.claimOne(queue);
    await t.crash(worker, 1);
    await refused(addLimited(t, queue, limit, [1]));
    const next = await t.worker();
    await next.claimOne(queue, { alone: true });
    assert.equal(await t.crash(next, 1), 2);
    assert.equal(await fill(t, queue, limit, 3), 2);
  },

  "a prepared batch counts as what it was prepared to": async (t) => {
    const limit = atMost(4);
    const queue = await definedQueue(t, { maxPending: limit });
    const worker = await t.worker();
    await addLimited(t, queue, limit, numbers(4));
    const batch = await worker.claimOne(queue);
    const [id = ""] = itemIds(batch.members);
    const payload = t.storage.payload === "text" ? "0" : [0];
    await t.storage.prepare(batch, [{ count: 1, bytes: 1, payload, ids: [id] }]);
    assert.equal(await fill(t, queue, limit, 5), 3);
    await worker.done([batch]);
    await addLimited(t, queue, limit, [1]);
    await refused(addLimited(t, queue, limit, [1]));
  },

  "what was added without the limit counts": async (t) => {
    const limit = atMost(4);
    const queue = await t.queue();
    const worker = await t.worker();
    await t.add(queue, numbers(2), { dueInMs: 0 });
    await worker.claimOne(queue);
    await t.storage.propose([{ queue, version: 1, settings: { ...PLAIN, maxPending: limit } }]);
    await t.add(queue, [1]);
    await addLimited(t, queue, limit, [1]);
    await refused(addLimited(t, queue, limit, [1]));
  },

  "what is pending can be asked for, with a limit and without one": async (t) => {
    const limit = { items: 9, bytes: 90 };
    const queue = await definedQueue(t, { maxPending: limit });
    const free = await t.queue("free");
    const worker = await t.worker();
    assert.deepEqual(await t.storage.pending(queue), { items: 0, bytes: 0 });
    await addLimited(t, queue, limit, ["12", "34"]);
    await t.add(free, numbers(3), { dueInMs: 0 });
    assert.deepEqual(await t.storage.pending(queue), { items: 2, bytes: 8 });
    assert.deepEqual(await t.storage.pending(free), { items: 3, bytes: 3 });
    const batches = [await worker.claimOne(queue), await worker.claimOne(free)];
    assert.equal((await t.storage.pending(queue)).items, 2);
    await worker.done(batches);
    assert.deepEqual(await t.storage.pending(queue), { items: 0, bytes: 0 });
    assert.deepEqual(await t.storage.pending(free), { items: 0, bytes: 0 });
    await assert.rejects(t.storage.pending(queue + 1000), { code: "STORAGE_FAILED" });
  },

  "a limit that was given up and comes back counts from the start": async (t) => {
    const limit = atMost(3);
    const queue = await definedQueue(t, { maxPending: limit });
    await addLimited(t, queue, limit, [1]);
    await definedQueue(t, {});
    await t.add(queue, [2]);
    await definedQueue(t, { maxPending: limit });
    assert.equal(await fill(t, queue, limit, 3), 1);
  },

  "what is replayed counts, and is never refused": async (t) => {
    const limit = atMost(2);
    const queue = await definedQueue(t, { maxPending: limit });
    const worker = await t.worker();
    await addLimited(t, queue, limit, numbers(2));
    const batch = await worker.claimOne(queue);
    await worker.settle(batch, { kind: "done", keep: true });
    await addLimited(t, queue, limit, [1]);
    assert.ok((await t.storage.replay(queue, batch.batch)) !== null);
    await refused(addLimited(t, queue, limit, [1]));
  },

  "a duplicate takes no room once it is left out": async (t) => {
    const limit = atMost(3);
    const queue = await definedQueue(t, { maxPending: limit });
    const chunk = limited(t, queue, limit, ["a", "a"]);
    await t.storage.append([{ ...chunk, dedupKeys: ["a", "a"] }]);
    // A claim may have to look first.
    await (await t.worker()).exchange(queue, { limit: 0 });
    assert.equal(await fill(t, queue, limit, 5), 2);
  },

  "calls with keys are refused one by one": async (t) => {
    const limit = atMost(3);
    const queue = await definedQueue(t, { maxPending: limit });
    const calls = [
      [["a", 1]],
      [
        ["b", 1],
        ["c", 1],
        ["d", 1],
      ],
      [
        ["e", 1],
        [null, 1],
      ],
      [["f", 1]],
    ] as const;
    const answers = await addKeyedLimited(t, queue, limit, calls);
    const kinds = answers.map(({ kind }) => kind);
    assert.deepEqual(kinds, ["stored", "full", "stored", "full"]);
    assert.deepEqual(answers[1], {
      kind: "full",
      room: { items: 2, bytes: UNLIMITED },
      need: { items: 3, bytes: 3 },
    });
    assert.equal((await t.storage.counts(queue, null)).waiting, 3);
  },

  "a key that is held needs no room": async (t) => {
    const limit = atMost(2);
    const queue = await definedQueue(t, { maxPending: limit });
    const call = [
      ["a", 1],
      ["b", 1],
    ] as const;
    const [first] = await addKeyedLimited(t, queue, limit, [call]);
    const [again1] = await addKeyedLimited(t, queue, limit, [call]);
    assert.deepEqual(
      idsOf(again1),
      idsOf(first).map((id) => `=${id}`),
    );
    const [conflict] = await addKeyedLimited(t, queue, limit, [[["a", 2]]]);
    assert.equal(conflict?.kind, "conflict");
    const [full] = await addKeyedLimited(t, queue, limit, [[["c", 1]]]);
    assert.equal(full?.kind, "full");
  },

  "room that calls with keys did not need is there for others": async (t) => {
    const limit = atMost(4);
    const queue = await definedQueue(t, { maxPending: limit });
    await addKeyedLimited(t, queue, limit, [[["a", 1]]]);
    await addKeyedLimited(t, queue, limit, [
      [
        ["a", 1],
        ["b", 1],
      ],
    ]);
    assert.equal(await fill(t, queue, limit, 5), 2);
  },

  "inside a transaction what does not fit is refused, and the transaction goes on": async (t) => {
    const limit = atMost(3);
    const queue = await definedQueue(t, { maxPending: limit });
    const other = await t.queue("other");
    const worker = await t.worker();
    const lease = await t.claimedBatch(worker, other, [1]);
    const add = (tx: unknown, count: number): unknown => {
      const chunks = [limited(t, queue, limit, numbers(count))];
      return t.traits.transactions === "sync"
        ? t.storage.appendInside(tx, chunks)
        : t.storage.appendWithin(tx, chunks);
    };
    const run =
      t.traits.transactions === "sync"
        ? (tx: never): void => {
            add(tx, 2);
            assert.throws(() => add(tx, 2), { code: "QUEUE_FULL" });
            add(tx, 1);
          }
        : async (tx: never): Promise<void> => {
            await add(tx, 2);
            await assert.rejects(add(tx, 2) as Promise<unknown>, { code: "QUEUE_FULL" });
            await add(tx, 1);
          };
    await t.storage.transact({ lease, run, outcome: () => DONE });
    assert.equal((await t.storage.counts(queue, null)).waiting, 3);
    await refused(addLimited(t, queue, limit, [1]));
  },

  "of two processes together, never more than the limit is pending": async (t) => {
    const limit = atMost(50);
    const queue = await definedQueue(t, { maxPending: limit });
    const second = await t.second();
    const worker = await t.worker();
    for (let round = 0; round < 4; round++) {
      const stored = await Promise.all([
        fill(t, queue, limit, 60),
        fill(t, queue, limit, 60, second),
      ]);
      const { waiting } = await t.storage.counts(queue, null);
      assert.ok(stored[0] + stored[1] <= 50, `${stored.join(" + ")} at most 50`);
      assert.ok(waiting <= 50, `${waiting} wait of at most 50`);
      // What the other might still have added is free once it did not.
      await t.pass(LEASE_MS + 1);
      assert.equal(waiting + (await fill(t, queue, limit, 60)), 50);
      await worker.storage.heartbeat(worker.incarnation, LEASE_MS);
      await worker.done(await worker.claim(queue, { maxSize: 50, limit: 100 }));
    }
  },
};

async function addKeyedLimited(
  t: Fixture,
  queue: number,
  limit: ReturnType<typeof atMost>,
  calls: Parameters<typeof keyedAppend>[1],
): ReturnType<Fixture["storage"]["appendKeyed"]> {
  const { chunks, items } = keyedAppend(queue, calls, {}, t.storage.payload);
  return t.storage.appendKeyed({ chunks: chunks.map((one) => ({ ...one, limit })), items });
}
