/** Batches whose owner died: they run alone, and only what happens then counts against them. */
import assert from "node:assert/strict";

import type { ClaimedBatch } from "../../storage/storage.ts";
import {
  again,
  children,
  contents,
  decode,
  DONE,
  items,
  LEASE_MS,
  numbers,
  settlement,
  type Cases,
  type Fixture,
} from "./fixture.ts";

/** Lets the owner of the queue's suspect die alone once more. Returns how many items died of it. */
async function crashAlone(t: Fixture, queue: number, maxCrashes: number): Promise<number> {
  const worker = await t.worker();
  const batch = await worker.claimOne(queue, { alone: true });
  assert.equal(batch.alone, true);
  return t.crash(worker, maxCrashes);
}

/** The queue's suspect: a batch of these items whose owner died. */
async function suspect(
  t: Fixture,
  queue: number,
  given: readonly unknown[],
): Promise<ClaimedBatch> {
  const worker = await t.worker();
  const batch = await t.claimedBatch(worker, queue, given);
  await t.crash(worker);
  return batch;
}

export const suspectCases: Cases = {
  "a batch whose owner died is handed only to a process that runs nothing": async (t) => {
    const queue = await t.queue();
    const batch = await suspect(t, queue, ["a"]);
    const worker = await t.worker();
    const busy = await worker.exchange(queue);
    assert.deepEqual([busy.claimed, busy.suspectWaiting], [[], true]);
    const idle = await worker.exchange(queue, { alone: true });
    assert.deepEqual(
      idle.claimed.map((next) => [next.batch, next.alone]),
      [[batch.batch, true]],
    );
    assert.equal(idle.suspectWaiting, false);
  },

  "a crash uses up no attempt": async (t) => {
    const queue = await t.queue();
    const first = await t.worker();
    const batch = await t.claimedBatch(first, queue, ["a"]);
    await first.settle(batch, again(2));
    await first.claimOne(queue);
    await t.crash(first);
    const next = await (await t.worker()).claimOne(queue, { alone: true });
    assert.deepEqual([next.batch, next.attempt], [batch.batch, 2]);
  },

  "nothing is claimed beside a suspect, from any queue": async (t) => {
    const queue = await t.queue("orders");
    const other = await t.queue("mails");
    const batch = await suspect(t, queue, ["a"]);
    await t.add(queue, numbers(10));
    await t.add(other, numbers(10));
    const worker = await t.worker();
    const caps = { maxSize: 10, maxBytes: Infinity, groupConcurrency: Infinity, limit: 5 };
    const { claimed } = await t.storage.exchange({
      incarnation: worker.incarnation,
      settlements: [],
      claims: [
        { ...caps, queue: other },
        { ...caps, queue },
      ],
      alone: true,
    });
    assert.deepEqual(
      claimed.map((next) => next.batch),
      [batch.batch],
    );
  },

  "the others go on while a suspect waits": async (t) => {
    const queue = await t.queue();
    await suspect(t, queue, ["a"]);
    const worker = await t.worker();
    await t.add(queue, numbers(10));
    const { claimed, suspectWaiting } = await worker.exchange(queue);
    assert.deepEqual(contents(claimed), [numbers(10)]);
    assert.equal(suspectWaiting, true);
  },

  "several suspects go one after another": async (t) => {
    const queue = await t.queue();
    const dying = await t.worker();
    await t.add(queue, numbers(30));
    await dying.claim(queue);
    await t.crash(dying);
    const worker = await t.worker();
    const found: unknown[][] = [];
    for (let left = 2; left >= 0; left--) {
      const { claimed, suspectWaiting } = await worker.exchange(queue, { alone: true });
      assert.deepEqual([claimed.length, suspectWaiting], [1, left > 0]);
      found.push(...contents(claimed));
      await worker.done(claimed);
    }
    assert.deepEqual(found, [numbers(10), numbers(10, 10), numbers(10, 20)]);
  },

  "a suspect is announced to a process that has no free place": async (t) => {
    const queue = await t.queue();
    await suspect(t, queue, ["a"]);
    const { claimed, suspectWaiting } = await (await t.worker()).exchange(queue, { limit: 0 });
    assert.deepEqual([claimed, suspectWaiting], [[], true]);
  },

  "a suspect of a paused queue waits unannounced": async (t) => {
    const queue = await t.queue();
    await suspect(t, queue, ["a"]);
    await t.storage.setPaused([queue], true);
    const { claimed, suspectWaiting } = await (await t.worker()).exchange(queue, { alone: true });
    assert.deepEqual([claimed, suspectWaiting], [[], false]);
  },

  "a suspect counts against its group's limit": async (t) => {
    const queue = await t.queue();
    const caps = { groupConcurrency: 1 };
    const dying = await t.worker();
    await t.add(queue, numbers(20), { group: "g" });
    await dying.claimOne(queue, caps);
    await t.crash(dying);
    const [one, two] = [await t.worker(), await t.worker()];
    const running = await one.claimOne(queue, caps);
    assert.equal(running.alone, false);
    const blocked = await two.exchange(queue, { ...caps, alone: true });
    assert.deepEqual([blocked.claimed, blocked.suspectWaiting], [[], false]);
    await one.done([running]);
    assert.equal((await two.claimOne(queue, { ...caps, alone: true })).alone, true);
  },

  "a suspect that is given back is still one": async (t) => {
    const queue = await t.queue();
    await suspect(t, queue, ["a"]);
    const worker = await t.worker();
    const batch = await worker.claimOne(queue, { alone: true });
    await t.storage.release([batch]);
    assert.deepEqual(await worker.claim(queue), []);
    assert.equal((await worker.claimOne(queue, { alone: true })).alone, true);
  },

  "a suspect whose handler failed is retried alone, after its delay": async (t) => {
    const queue = await t.queue();
    await suspect(t, queue, ["a"]);
    const worker = await t.worker();
    const batch = await worker.claimOne(queue, { alone: true });
    await worker.settle(batch, again(2, 800));
    const early = await worker.exchange(queue, { alone: true });
    assert.deepEqual([early.claimed, early.suspectWaiting], [[], false]);
    assert.equal(early.nextAt, early.now + 800);
    await t.pass(800);
    assert.deepEqual(await worker.claim(queue), []);
    const retried = await worker.claimOne(queue, { alone: true });
    assert.deepEqual([retried.attempt, retried.alone], [2, true]);
  },

  "the parts of a suspect whose handler ended are not suspects": async (t) => {
    const queue = await t.queue();
    await suspect(t, queue, ["a", "b"]);
    const worker = await t.worker();
    const batch = await worker.claimOne(queue, { alone: true });
    await worker.settle(batch, children([[0], [1]]));
    assert.deepEqual(contents(await worker.claim(queue)), [["a"], ["b"]]);
  },

  "crashes in company count nothing, however many": async (t) => {
    const queue = await t.queue();
    await t.add(queue, ["a"], { dueInMs: 0 });
    for (let n = 0; n < 5; n++) {
      const worker = await t.worker();
      const batch = await worker.claimOne(queue);
      assert.equal(await t.crash(worker, 1), 0);
      await t.storage.absolve(worker.incarnation);
      assert.equal(batch.alone, false);
    }
    assert.equal((await t.storage.counts(queue, null)).dead, 0);
  },

  "the first crash makes a suspect, and only crashes after it kill": async (t) => {
    const queue = await t.queue();
    const batch = await suspect(t, queue, ["a", "b"]);
    assert.equal(await crashAlone(t, queue, 3), 0);
    assert.equal(await crashAlone(t, queue, 3), 0);
    assert.equal((await t.storage.counts(queue, null)).dead, 0);
    assert.equal(await crashAlone(t, queue, 3), 2);
    const letters = await t.storage.deadLetters({ queue, group: null, after: 0, limit: 10 });
    assert.deepEqual(
      letters.flatMap(({ payload }) => decode(payload)),
      ["a", "b"],
    );
    for (const letter of letters) {
      assert.equal(letter.error.code, "CRASHED");
      assert.deepEqual([letter.crashes, letter.attempts, letter.batch], [3, 0, batch.batch]);
    }
    assert.deepEqual(await (await t.worker()).claim(queue, { alone: true }), []);
  },

  "a reaped batch that is dead is not counted as released": async (t) => {
    const queue = await t.queue();
    await suspect(t, queue, ["a", "b", "c"]);
    const worker = await t.worker();
    await worker.claimOne(queue, { alone: true });
    await t.pass(LEASE_MS);
    const reaped = await t.storage.reap(1);
    assert.partialDeepStrictEqual(reaped, {
      incarnations: [worker.incarnation],
      released: 0,
      dead: 3,
    });
    const { retrying, leased } = await t.storage.counts(queue, null);
    assert.deepEqual({ retrying, leased }, { retrying: 0, leased: 0 });
  },

  "a process that was only slow is absolved: its batches run in company again": async (t) => {
    const queue = await t.queue();
    const slow = await t.worker();
    await t.add(queue, numbers(20));
    const held = await slow.claim(queue);
    await t.crash(slow);
    await t.storage.absolve(slow.incarnation);
    const { claimed, suspectWaiting } = await (await t.worker()).exchange(queue);
    assert.deepEqual(
      claimed.map(({ batch }) => batch),
      held.map(({ batch }) => batch),
    );
    assert.equal(suspectWaiting, false);
  },

  "absolution takes back the crash of that process alone": async (t) => {
    const queue = await t.queue();
    const [slow, dead] = [await t.worker(), await t.worker()];
    await t.add(queue, numbers(20));
    const spared = await slow.claimOne(queue, { limit: 1 });
    const held = await dead.claimOne(queue, { limit: 1 });
    await t.crash(slow);
    await t.storage.absolve(slow.incarnation);
    const worker = await t.worker();
    const { claimed, suspectWaiting } = await worker.exchange(queue);
    assert.deepEqual(
      claimed.map(({ batch }) => batch),
      [spared.batch],
    );
    assert.equal(suspectWaiting, true);
    await worker.done(claimed);
    assert.equal((await worker.claimOne(queue, { alone: true })).batch, held.batch);
  },

  "absolution takes a counted crash back": async (t) => {
    const queue = await t.queue();
    await suspect(t, queue, ["a"]);
    const slow = await t.worker();
    await slow.claimOne(queue, { alone: true });
    await t.crash(slow, 2);
    await t.storage.absolve(slow.incarnation);
    await t.storage.absolve(slow.incarnation);
    assert.deepEqual(await (await t.worker()).claim(queue), [], "it had been a suspect before");
    assert.equal(await crashAlone(t, queue, 2), 0, "this is the first that counts");
    assert.equal(await crashAlone(t, queue, 2), 1);
  },

  "absolution leaves a batch alone that somebody else runs by now": async (t) => {
    const queue = await t.queue();
    const slow = await t.worker();
    const batch = await t.claimedBatch(slow, queue, ["a"]);
    await t.crash(slow);
    const heir = await t.worker();
    const taken = await heir.claimOne(queue, { alone: true });
    await t.storage.absolve(slow.incarnation);
    assert.deepEqual(await heir.claim(queue), []);
    const [running] = await t.storage.running(queue);
    assert.deepEqual([running?.batch, running?.token], [batch.batch, taken.token]);
    assert.equal(await heir.settle(taken, DONE), "settled");
  },

  "a settlement of a suspect may ride on the claim of the next": async (t) => {
    const queue = await t.queue();
    const dying = await t.worker();
    await t.add(queue, numbers(20));
    await dying.claim(queue);
    await t.crash(dying);
    const worker = await t.worker();
    const first = await worker.claimOne(queue, { alone: true });
    const settlements = [settlement(first, DONE)];
    const { claimed } = await worker.exchange(queue, { alone: true, settlements });
    assert.deepEqual(
      claimed.map((next) => [items(next), next.alone]),
      [[numbers(10, 10), true]],
    );
  },
};
