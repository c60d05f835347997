/** Which items become a batch, when, and why. */
import assert from "node:assert/strict";

import { itemIds } from "../../core/members.ts";
import type { ClaimedBatch } from "../../storage/storage.ts";
import { seededRandom } from "../random.ts";
import {
  again,
  ascends,
  type Cases,
  contents,
  items,
  LEASE_MS,
  numbers,
  WAIT_MS,
} from "./fixture.ts";

/** What must be the same in every delivery of a batch. */
function identity(batch: ClaimedBatch): unknown {
  const { group, count, bytes, members, payloads, reason, parentId, rootId, sealedAt } = batch;
  return {
    batch: batch.batch,
    group,
    count,
    bytes,
    members,
    payloads,
    reason,
    parentId,
    rootId,
    sealedAt,
  };
}

export const sealingCases: Cases = {
  "nothing is handed over before it is due, and then at once": async (t) => {
    const queue = await t.queue();
    const worker = await t.worker();
    const { dueAt } = await t.add(queue, ["a", "b"]);
    const early = await worker.exchange(queue);
    assert.deepEqual(early.claimed, []);
    assert.equal(early.nextAt, dueAt);
    assert.equal(early.more, false);
    await t.pass(WAIT_MS - 1);
    assert.deepEqual(await worker.claim(queue), []);
    await t.pass(1);
    const batch = await worker.claimOne(queue);
    assert.deepEqual(items(batch), ["a", "b"]);
    assert.equal(batch.reason, "time");
    assert.equal(batch.sealedAt, dueAt);
  },

  "a queue without items has nothing to wait for": async (t) => {
    const queue = await t.queue();
    const { claimed, nextAt, more, suspectWaiting } = await (await t.worker()).exchange(queue);
    assert.deepEqual(
      { claimed, nextAt, more, suspectWaiting },
      {
        claimed: [],
        nextAt: null,
        more: false,
        suspectWaiting: false,
      },
    );
  },

  "a full batch goes before it is due": async (t) => {
    const queue = await t.queue();
    const worker = await t.worker();
    await t.add(queue, numbers(9));
    assert.deepEqual(await worker.claim(queue), []);
    await t.add(queue, [9]);
    const batch = await worker.claimOne(queue);
    assert.deepEqual(items(batch), numbers(10));
    assert.equal(batch.reason, "size");
  },

  "maxSize is a cap, and what is left of full batches waits for its time": async (t) => {
    const queue = await t.queue();
    const worker = await t.worker();
    for (let n = 0; n < 35; n += 5) await t.add(queue, numbers(5, n));
    const full = await worker.claim(queue);
    assert.deepEqual(contents(full), [numbers(10), numbers(10, 10), numbers(10, 20)]);
    assert.equal((await t.storage.counts(queue, null)).waiting, 5);
    await t.pass(WAIT_MS);
    const rest = await worker.claimOne(queue);
    assert.deepEqual(items(rest), numbers(5, 30));
    assert.equal(rest.reason, "time");
  },

  "chunks that straddle batches are sliced in exact order": async (t) => {
    const queue = await t.queue();
    const worker = await t.worker();
    let next = 0;
    for (const size of [3, 5, 1, 12, 2, 2]) {
      await t.add(queue, numbers(size, next));
      next += size;
    }
    const batches = [...(await worker.claim(queue, { maxSize: 4 }))];
    assert.deepEqual(
      contents(batches),
      numbers(6).map((n) => numbers(4, 4 * n)),
    );
    await t.pass(WAIT_MS);
    batches.push(await worker.claimOne(queue, { maxSize: 4 }));
    assert.deepEqual(contents(batches).flat(), numbers(25));
  },

  "an item has the id of its chunk and its place there, in whichever batch it goes": async (t) => {
    const queue = await t.queue();
    const worker = await t.worker();
    const first = await t.add(queue, ["a", "b", "c"]);
    const second = await t.add(queue, ["d", "e", "f", "g"]);
    const ids = (await worker.claim(queue, { maxSize: 2 })).map(({ members }) => itemIds(members));
    assert.deepEqual(ids, [
      [`${first.id}:0`, `${first.id}:1`],
      [`${first.id}:2`, `${second.id}:0`],
      [`${second.id}:1`, `${second.id}:2`],
    ]);
  },

  "a member is whole only where the batch has all of its chunk": async (t) => {
    const queue = await t.queue();
    const worker = await t.worker();
    await t.add(queue, numbers(3));
    await t.add(queue, numbers(5));
    await t.add(queue, numbers(4));
    const [one, two] = await worker.claim(queue, { maxSize: 6 });
    assert.deepEqual(
      one?.members.map(({ whole }) => whole),
      [true, false],
    );
    assert.deepEqual(
      two?.members.map(({ whole }) => whole),
      [false, true],
    );
  },

  "small commits are joined into one batch": async (t) => {
    const queue = await t.queue();
    for (let n = 0; n < 25; n++) await t.add(queue, [n]);
    const batch = await (await t.worker()).claimOne(queue, { maxSize: 25 });
    assert.deepEqual(items(batch), numbers(25));
    assert.equal(batch.members.length, 25);
  },

  "a batch is full when its bytes are": async (t) => {
    const queue = await t.queue();
    const worker = await t.worker();
    const caps = { maxSize: 100, maxBytes: 20 };
    await t.addEach(queue, [11, 12, 13, 14, 15, 16, 17, 18, 19]);
    assert.deepEqual(await worker.claim(queue, caps), []);
    await t.add(queue, [20]);
    const batch = await worker.claimOne(queue, caps);
    assert.equal(batch.reason, "bytes");
    assert.equal(batch.bytes, 20);
    assert.deepEqual(items(batch), numbers(10, 11));
  },

  "an item that would overflow maxBytes opens the next batch": async (t) => {
    const queue = await t.queue();
    const worker = await t.worker();
    const sizes = [6, 3, 8, 2, 9, 2, 5, 5, 7];
    const given = sizes.map((size) => "x".repeat(size - '""'.length));
    await t.addEach(queue, given);
    await t.pass(WAIT_MS);
    const batches = await worker.claim(queue, { maxSize: 100, maxBytes: 11 });
    for (const batch of batches) assert.ok(batch.bytes <= 11);
    assert.deepEqual(contents(batches).flat(), given);
    const lengths = contents(batches).map((batch) => batch.length);
    assert.deepEqual(lengths, [2, 2, 2, 2, 1]);
  },

  "a chunk is sliced where maxBytes runs out": async (t) => {
    const queue = await t.queue();
    const worker = await t.worker();
    // Ten items of ten bytes each, umlauts counted as two.
    const given = numbers(10).map((n) => `${n}äöü-`);
    await t.add(queue, given);
    await t.pass(WAIT_MS);
    const batches = await worker.claim(queue, { maxSize: 100, maxBytes: 35 });
    assert.deepEqual(contents(batches), [
      given.slice(0, 3),
      given.slice(3, 6),
      given.slice(6, 9),
      given.slice(9),
    ]);
    assert.deepEqual(
      batches.map(({ bytes }) => bytes),
      [30, 30, 30, 10],
    );
  },

  "a single item larger than maxBytes moves, alone": async (t) => {
    const queue = await t.queue();
    const worker = await t.worker();
    const large = "x".repeat(500);
    await t.addEach(queue, ["small", large, "tiny"]);
    await t.pass(WAIT_MS);
    const batches = await worker.claim(queue, { maxBytes: 50 });
    assert.deepEqual(contents(batches), [["small"], [large], ["tiny"]]);
  },

  "a flushed group says so": async (t) => {
    const queue = await t.queue();
    await t.add(queue, ["a"]);
    await t.storage.makeDue(queue, null);
    assert.equal((await (await t.worker()).claimOne(queue)).reason, "flush");
  },

  "an item that is due sooner than those before it takes them along": async (t) => {
    const queue = await t.queue();
    const worker = await t.worker();
    await t.add(queue, ["slow"], { dueInMs: 60_000 });
    const { dueAt } = await t.add(queue, ["fast"], { dueInMs: 100 });
    const { nextAt } = await worker.exchange(queue);
    assert.ok(nextAt !== null && nextAt <= dueAt);
    await t.pass(100);
    assert.deepEqual(items(await worker.claimOne(queue)), ["slow", "fast"]);
  },

  "nothing is sealed that is not claimed at once": async (t) => {
    const queue = await t.queue();
    const worker = await t.worker();
    await t.add(queue, numbers(40));
    const { claimed, more } = await worker.exchange(queue, { limit: 1 });
    assert.deepEqual(contents(claimed), [numbers(10)]);
    assert.equal(more, true);
    const { waiting, retrying, leased } = await t.storage.counts(queue, null);
    assert.deepEqual({ waiting, retrying, leased }, { waiting: 30, retrying: 0, leased: 1 });
  },

  "left tells how many of the group wait after the claim": async (t) => {
    const queue = await t.queue();
    const worker = await t.worker();
    await t.add(queue, numbers(13));
    assert.equal((await worker.claimOne(queue)).left, 3);
  },

  "a batch is the same in each delivery: after a release, a retry and a crash": async (t) => {
    const queue = await t.queue();
    let worker = await t.worker();
    await t.add(queue, ["a", "b", "c"]);
    await t.add(queue, ["d", "e", "f"]);
    const first = await worker.claimOne(queue, { maxSize: 5 });
    const expected = identity(first);
    await t.storage.release([first]);
    const second = await worker.claimOne(queue, { maxSize: 5 });
    assert.deepEqual(identity(second), expected);
    await worker.settle(second, again(2));
    const third = await worker.claimOne(queue, { maxSize: 5 });
    assert.deepEqual(identity(third), expected);
    await t.crash(worker);
    worker = await t.worker();
    const fourth = await worker.claimOne(queue, { maxSize: 5, alone: true });
    assert.deepEqual(identity(fourth), expected);
  },

  "membership is fixed: a smaller maxSize later does not cut a sealed batch": async (t) => {
    const queue = await t.queue();
    const worker = await t.worker();
    const batch = await t.claimedBatch(worker, queue, numbers(8));
    await t.storage.release([batch]);
    const same = await worker.claimOne(queue, { maxSize: 3 });
    assert.equal(same.batch, batch.batch);
    assert.deepEqual(items(same), numbers(8));
  },

  "a smaller maxSize makes what waits full": async (t) => {
    const queue = await t.queue();
    const worker = await t.worker();
    await t.add(queue, numbers(7));
    assert.deepEqual(await worker.claim(queue, { maxSize: 10 }), []);
    assert.deepEqual(contents(await worker.claim(queue, { maxSize: 3 })), [
      [0, 1, 2],
      [3, 4, 5],
    ]);
  },

  "a larger maxSize makes what was full wait": async (t) => {
    const queue = await t.queue();
    const worker = await t.worker();
    await t.add(queue, numbers(7));
    assert.equal((await worker.exchange(queue, { maxSize: 7, limit: 0 })).more, true);
    assert.deepEqual(await worker.claim(queue, { maxSize: 8 }), []);
    await t.pass(WAIT_MS);
    assert.deepEqual(items(await worker.claimOne(queue, { maxSize: 8 })), numbers(7));
  },

  "batch ids are never reused": async (t) => {
    const queue = await t.queue();
    const worker = await t.worker();
    const ids: number[] = [];
    for (let n = 0; n < 5; n++) {
      const batch = await t.claimedBatch(worker, queue, [n]);
      ids.push(batch.batch);
      await worker.done([batch]);
    }
    ascends(ids);
  },

  "whatever the commits were, batches hold every item once and in order": async (t) => {
    const queue = await t.queue();
    const worker = await t.worker(t.storage, 10 * LEASE_MS);
    const random = seededRandom(7);
    const found: unknown[] = [];
    let next = 0;
    for (let round = 0; round < 40; round++) {
      const size = 1 + Math.floor(random() * 17);
      await t.add(queue, numbers(size, next));
      next += size;
      const batches = await worker.claim(queue, {
        maxSize: 7,
        limit: 1 + Math.floor(random() * 3),
      });
      for (const batch of batches) assert.equal(items(batch).length, 7);
      found.push(...contents(batches).flat());
      await worker.done(batches);
    }
    await t.pass(WAIT_MS);
    const rest = await worker.claim(queue, { maxSize: 7 });
    found.push(...contents(rest).flat());
    assert.deepEqual(found, numbers(next));
  },
};
