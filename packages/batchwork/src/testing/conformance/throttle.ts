/** How often a queue hands batches over, whoever asks and whatever was in them. */
import assert from "node:assert/strict";

import {
  again,
  children,
  contents,
  DONE,
  LEASE_MS,
  numbers,
  settlement,
  WAIT_MS,
  type Cases,
  type Claiming,
  type Fixture,
} from "./fixture.ts";

const SPAN_MS = 60_000;

const throttle = { max: 2, durationMs: SPAN_MS };

/** One item a batch. */
const SINGLE: Claiming = { maxSize: 1, throttle };

/** How many batches of one item a claim gets. */
async function waiting(t: Fixture, items: number, queueName?: string): Promise<number> {
  const queue = await t.queue(queueName);
  await t.add(queue, numbers(items), { dueInMs: 0 });
  return queue;
}

export const throttleCases: Cases = {
  "a claim gets no more than the throttle leaves": async (t) => {
    const queue = await waiting(t, 5);
    const worker = await t.worker();
    const { claimed, more } = await worker.exchange(queue, SINGLE);
    assert.deepEqual(contents(claimed), [[0], [1]]);
    assert.equal(more, false, "a free slot would change nothing");
    assert.deepEqual(await worker.claim(queue, SINGLE), []);
  },

  "what is in the way ends when its span does, to the millisecond": async (t) => {
    const queue = await waiting(t, 5);
    const worker = await t.worker();
    await worker.claim(queue, SINGLE);
    await t.pass(SPAN_MS - 1);
    assert.deepEqual(await worker.claim(queue, SINGLE), []);
    await t.pass(1);
    assert.deepEqual(contents(await worker.claim(queue, SINGLE)), [[2], [3]]);
  },

  "the span slides: each delivery counts for as long as any other": async (t) => {
    const queue = await waiting(t, 5);
    const worker = await t.worker();
    await worker.claimOne(queue, { ...SINGLE, limit: 1 });
    await t.pass(SPAN_MS / 2);
    assert.equal((await worker.claim(queue, SINGLE)).length, 1);
    await t.pass(SPAN_MS / 2);
    assert.equal((await worker.claim(queue, SINGLE)).length, 1, "the first has left the span");
    await t.pass(SPAN_MS / 2 - 1);
    assert.deepEqual(await worker.claim(queue, SINGLE), []);
    await t.pass(1);
    assert.equal((await worker.claim(queue, SINGLE)).length, 1, "the second has left it");
  },

  "nextAt is when the throttle lets a batch go again": async (t) => {
    const queue = await waiting(t, 5);
    const worker = await t.worker();
    await worker.claimOne(queue, { ...SINGLE, limit: 1 });
    await t.pass(100);
    const { claimed, nextAt, now } = await worker.exchange(queue, SINGLE);
    assert.equal(claimed.length, 1);
    assert.equal(nextAt, now - 100 + SPAN_MS);
    const blocked = await worker.exchange(queue, SINGLE);
    assert.equal(blocked.nextAt, nextAt);
  },

  "nextAt names nothing when nothing waits, and a later due time as it is": async (t) => {
    const queue = await waiting(t, 2);
    const worker = await t.worker();
    assert.equal((await worker.exchange(queue, SINGLE)).nextAt, null);
    const { dueAt } = await t.add(queue, numbers(1), { dueInMs: 2 * SPAN_MS });
    assert.equal((await worker.exchange(queue, { throttle })).nextAt, dueAt);
  },

  "nextAt is not before the throttle lets go what is due earlier": async (t) => {
    const queue = await waiting(t, 2);
    const worker = await t.worker();
    const { now } = await worker.exchange(queue, SINGLE);
    await t.add(queue, numbers(1), { dueInMs: WAIT_MS });
    assert.equal((await worker.exchange(queue, { throttle })).nextAt, now + SPAN_MS);
  },

  "all incarnations share one span, on every storage object": async (t) => {
    const queue = await waiting(t, 5);
    const one = await t.worker();
    const two = await t.worker(await t.second());
    assert.equal((await one.claim(queue, { ...SINGLE, limit: 1 })).length, 1);
    assert.equal((await two.claim(queue, SINGLE)).length, 1);
    assert.deepEqual(await one.claim(queue, SINGLE), []);
    assert.deepEqual(await two.claim(queue, SINGLE), []);
  },

  "another attempt is another delivery": async (t) => {
    const queue = await waiting(t, 1);
    const worker = await t.worker();
    const batch = await worker.claimOne(queue, SINGLE);
    assert.equal(await worker.settle(batch, again(2)), "settled");
    const second = await worker.claimOne(queue, SINGLE);
    const settlements = [settlement(second, again(3))];
    const { claimed, nextAt, now } = await worker.exchange(queue, { ...SINGLE, settlements });
    assert.deepEqual(claimed, []);
    assert.equal(nextAt, now + SPAN_MS);
    await t.pass(SPAN_MS);
    assert.equal((await worker.claimOne(queue, SINGLE)).attempt, 3);
  },

  "each child of a split is a delivery": async (t) => {
    const queue = await waiting(t, 4);
    const worker = await t.worker();
    const batch = await worker.claimOne(queue, { throttle });
    assert.equal(await worker.settle(batch, children([[0], [1], [2, 3]])), "settled");
    assert.deepEqual(contents(await worker.claim(queue, { throttle })), [[0]]);
    await t.pass(SPAN_MS);
    assert.deepEqual(contents(await worker.claim(queue, { throttle })), [[1], [2, 3]]);
  },

  "what is given back was delivered all the same": async (t) => {
    const queue = await waiting(t, 2);
    const worker = await t.worker();
    await t.storage.release(await worker.claim(queue, SINGLE));
    assert.deepEqual(await worker.claim(queue, SINGLE), []);
    await t.pass(SPAN_MS);
    assert.equal((await worker.claim(queue, SINGLE)).length, 2);
  },

  "what was made due waits for the throttle as well": async (t) => {
    const queue = await waiting(t, 2);
    const worker = await t.worker();
    await worker.claim(queue, SINGLE);
    await t.add(queue, ["flushed"], { dueInMs: 10 * SPAN_MS });
    const mark = await t.storage.makeDue(queue, null);
    const { claimed, nextAt, now } = await worker.exchange(queue, { throttle });
    assert.deepEqual(claimed, []);
    assert.equal(nextAt, now + SPAN_MS);
    const query = { queue, group: null, mark, until: "attempted" } as const;
    assert.equal(await t.storage.outstanding(query), 3);
    await t.pass(SPAN_MS);
    assert.deepEqual(contents(await worker.claim(queue, { throttle })), [["flushed"]]);
  },

  "a suspect is a delivery, and waits like everything else": async (t) => {
    const queue = await waiting(t, 2);
    const lost = await t.worker();
    await lost.claimOne(queue, { ...SINGLE, limit: 1 });
    assert.equal(await t.crash(lost), 0);
    const worker = await t.worker();
    const caps = { ...SINGLE, alone: true };
    const { claimed, suspectWaiting } = await worker.exchange(queue, caps);
    assert.deepEqual(
      claimed.map(({ alone }) => alone),
      [true],
    );
    assert.equal(suspectWaiting, false);
    await worker.done(claimed);
    const left = SPAN_MS - LEASE_MS - 1;
    assert.deepEqual(await worker.claim(queue, caps), [], "two were delivered in this span");
    await t.pass(left);
    assert.equal((await worker.claim(queue, caps)).length, 1);
  },

  "a suspect that the throttle holds back holds nobody up, and is looked for in time": async (
    t,
  ) => {
    const queue = await waiting(t, 1);
    const lost = await t.worker();
    const caps = { ...SINGLE, throttle: { max: 1, durationMs: SPAN_MS }, alone: true };
    await lost.claimOne(queue, caps);
    assert.equal(await t.crash(lost), 0);
    const worker = await t.worker();
    const { claimed, suspectWaiting, nextAt, now } = await worker.exchange(queue, caps);
    assert.deepEqual(claimed, []);
    assert.equal(suspectWaiting, false, "it is not to be waited for");
    assert.equal(nextAt, now - LEASE_MS - 1 + SPAN_MS);
    await t.pass(SPAN_MS - LEASE_MS - 1);
    assert.equal((await worker.claimOne(queue, caps)).alone, true);
  },

  "a throttle holds back its own queue only": async (t) => {
    const queue = await waiting(t, 3, "slow");
    const other = await waiting(t, 3, "other");
    const worker = await t.worker();
    assert.equal((await worker.claim(queue, SINGLE)).length, 2);
    assert.equal((await worker.claim(other, { maxSize: 1 })).length, 3);
  },

  "without a throttle nothing is counted, and nothing held back": async (t) => {
    const queue = await waiting(t, 8);
    const worker = await t.worker();
    assert.equal((await worker.claim(queue, { maxSize: 1, limit: 3 })).length, 3);
    assert.equal((await worker.claim(queue, SINGLE)).length, 2, "the earlier ones do not count");
    assert.equal((await worker.claim(queue, { maxSize: 1 })).length, 3);
  },

  "a limit of 0 takes nothing from the span": async (t) => {
    const queue = await waiting(t, 3);
    const worker = await t.worker();
    const { more } = await worker.exchange(queue, { ...SINGLE, limit: 0 });
    assert.equal(more, true);
    assert.equal((await worker.claim(queue, SINGLE)).length, 2);
    assert.equal((await worker.exchange(queue, { ...SINGLE, limit: 0 })).more, false);
  },

  "throttledUntil says when a queue may hand over again": async (t) => {
    const queue = await waiting(t, 3);
    const worker = await t.worker();
    assert.equal(await t.storage.throttledUntil(queue, throttle), null);
    const { now } = await worker.exchange(queue, SINGLE);
    const other = await t.second();
    assert.equal(await other.throttledUntil(queue, throttle), now + SPAN_MS);
    await t.pass(SPAN_MS);
    assert.equal(await other.throttledUntil(queue, throttle), null);
  },

  "many spans later, still no more than the throttle leaves": async (t) => {
    const queue = await waiting(t, 60);
    const worker = await t.worker();
    const caps = { maxSize: 1, throttle: { max: 3, durationMs: 100 } };
    const times: number[] = [];
    for (let n = 0; n < 60; n++) {
      const { claimed, now } = await worker.exchange(queue, caps);
      for (const batch of claimed) {
        times.push(now);
        assert.equal(await worker.settle(batch, DONE), "settled");
      }
      await t.pass(30);
    }
    assert.ok(times.length > 40, `${times.length} deliveries`);
    for (const [n, at] of times.entries()) {
      const third = times[n + 3];
      assert.ok(third === undefined || third - at >= 100, `${at} and ${third}`);
    }
  },
};
