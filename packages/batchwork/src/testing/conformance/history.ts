/** Looking back at batches that are over. */
import assert from "node:assert/strict";

import type { Outcome } from "../../core/settle.ts";
import type { FinishedRow, HistoryQuery } from "../../storage/history.ts";
import {
  again,
  children,
  DONE,
  FAILURE,
  LEASE_MS,
  numbers,
  rejectsWith,
  type Cases,
  type Fixture,
} from "./fixture.ts";

export const historyCases: Cases = {
  "a batch that is over says what became of it and when": async (t) => {
    const queue = await t.queue();
    const worker = await t.worker();
    await t.add(queue, numbers(10), { group: "a" });
    const { claimed, now: claimedAt } = await worker.exchange(queue);
    await t.pass(250);
    const { batch, token } = claimed[0] ?? assert.fail("one batch is full");
    const { now } = await worker.exchange(queue, {
      settlements: [{ batch, token, outcome: DONE }],
    });
    assert.deepEqual(await history(t, queue), [
      {
        batch,
        parentId: null,
        rootId: batch,
        group: "a",
        count: 10,
        attempt: 1,
        reason: "size",
        sealedAt: claimedAt,
        claimedAt,
        finishedAt: now,
        error: null,
        kept: false,
      },
    ]);
  },

  "batches that wait or run are no history": async (t) => {
    const queue = await t.queue();
    const worker = await t.worker();
    await t.add(queue, numbers(30));
    const [first, second] = await worker.claim(queue);
    if (first === undefined || second === undefined) assert.fail("three are full");
    await worker.settle(first, again(2));
    await t.storage.release([second]);
    assert.deepEqual(await history(t, queue), []);
  },

  "history is newest first, in pages, and of one queue": async (t) => {
    const queue = await t.queue();
    const worker = await t.worker();
    const other = await t.queue("other");
    await worker.done([await t.claimedBatch(worker, other, ["other"])]);
    const ids: number[] = [];
    for (let n = 0; n < 5; n++) {
      const batch = await t.claimedBatch(worker, queue, [n]);
      ids.unshift(batch.batch);
      await worker.done([batch]);
    }
    assert.deepEqual(idsOf(await history(t, queue)), ids);
    assert.deepEqual(idsOf(await history(t, queue, { limit: 2 })), ids.slice(0, 2));
    const before = ids[1] as number;
    assert.deepEqual(idsOf(await history(t, queue, { before, limit: 2 })), ids.slice(2, 4));
    assert.deepEqual(idsOf(await history(t, queue, { before: ids[4] as number })), []);
  },

  "history of one group leaves the others out": async (t) => {
    const queue = await t.queue();
    const worker = await t.worker();
    await t.add(queue, numbers(10), { group: "a" });
    await t.add(queue, numbers(10), { group: "" });
    await t.add(queue, numbers(10), { group: "b" });
    const claimed = await worker.claim(queue);
    await worker.done(claimed);
    for (const group of ["a", "", "b"]) {
      const expected = claimed.filter((batch) => batch.group === group);
      assert.equal(expected.length, 1);
      const rows = await history(t, queue, { group });
      assert.deepEqual(idsOf(rows), [expected[0]?.batch]);
      assert.equal(rows[0]?.group, group);
    }
    assert.deepEqual(await history(t, queue, { group: "nobody" }), []);
  },

  "a batch that was tried again counts its attempts, and keeps no error of earlier ones": async (
    t,
  ) => {
    const queue = await t.queue();
    const worker = await t.worker();
    const first = await t.claimedBatch(worker, queue, ["a"]);
    const [sealed] = await t.storage.running(queue);
    assert.equal(await worker.settle(first, again(2, 500)), "settled");
    await t.pass(500);
    const { claimed, now } = await worker.exchange(queue);
    await worker.done(claimed);
    const [row] = await history(t, queue);
    assert.deepEqual([row?.batch, row?.attempt, row?.error], [first.batch, 2, null]);
    assert.deepEqual([row?.sealedAt, row?.claimedAt], [sealed?.claimedAt, now]);
  },

  "a batch of which items failed keeps the error, and its children name it": async (t) => {
    const queue = await t.queue();
    const worker = await t.worker();
    const parent = await t.claimedBatch(worker, queue, numbers(4));
    assert.equal(await worker.settle(parent, children([[1, 2]])), "settled");
    const child = await worker.claimOne(queue);
    await worker.done([child]);
    const [last, first] = await history(t, queue);
    assert.deepEqual([first?.batch, first?.count, first?.error], [parent.batch, 4, FAILURE]);
    assert.deepEqual([last?.batch, last?.count, last?.error], [child.batch, 2, null]);
    assert.deepEqual([last?.parentId, last?.rootId], [parent.batch, parent.batch]);
    assert.deepEqual([last?.attempt, last?.reason], [2, parent.reason]);
  },

  "a batch whose items are dead keeps the error": async (t) => {
    const queue = await t.queue();
    const worker = await t.worker();
    const batch = await t.claimedBatch(worker, queue, numbers(2));
    const dead = [{ position: 0, error: { name: "Error", message: "this one" } }];
    const outcome: Outcome = { kind: "split", children: [], dead, error: FAILURE };
    assert.equal(await worker.settle(batch, outcome), "settled");
    const [row] = await history(t, queue);
    assert.deepEqual([row?.batch, row?.error], [batch.batch, FAILURE]);
  },

  "a batch that killed its process too often ends as CRASHED": async (t) => {
    const queue = await t.queue();
    const [one, two] = [await t.worker(), await t.worker()];
    const batch = await t.claimedBatch(one, queue, ["bad"]);
    await t.pass(LEASE_MS - 1);
    await t.storage.heartbeat(two.incarnation, 10 * LEASE_MS);
    await t.crash(one);
    await two.claimOne(queue, { alone: true });
    await t.pass(10 * LEASE_MS);
    assert.equal((await t.storage.reap(1)).dead, 1);
    const [row] = await history(t, queue);
    assert.deepEqual([row?.batch, row?.attempt, row?.error?.code], [batch.batch, 1, "CRASHED"]);
  },

  "what transact settles is history as well": async (t) => {
    const queue = await t.queue();
    const worker = await t.worker();
    const { batch, token } = await t.claimedBatch(worker, queue, numbers(2));
    const run = t.traits.transactions === "sync" ? () => 1 : async () => 1;
    await t.storage.transact({ lease: { batch, token }, run, outcome: () => DONE });
    const [row] = await history(t, queue);
    assert.deepEqual([row?.batch, row?.count, row?.error], [batch, 2, null]);
  },

  "of finished batches at least the latest 1,000 are kept": async (t) => {
    const queue = await t.queue();
    const worker = await t.worker();
    await t.add(queue, numbers(1100), { dueInMs: 0 });
    const { claimed } = await worker.exchange(queue, { maxSize: 1, limit: 1100 });
    const settlements = claimed.map(({ batch, token }) => ({ batch, token, outcome: DONE }));
    await worker.exchange(queue, { settlements });
    await t.storage.reap(3);
    const rows = await history(t, queue, { limit: 1000 });
    const latest = claimed.map(({ batch }) => batch).toSorted((a, b) => b - a);
    assert.deepEqual(idsOf(rows), latest.slice(0, 1000));
  },

  "history of a queue that is not there is refused": async (t) => {
    const queue = await t.queue();
    await rejectsWith(history(t, queue + 1), "STORAGE_FAILED");
  },
};

function history(
  t: Fixture,
  queue: number,
  query: Partial<HistoryQuery> = {},
): Promise<FinishedRow[]> {
  return t.storage.history({ queue, group: null, before: null, limit: 100, ...query });
}

function idsOf(rows: readonly FinishedRow[]): number[] {
  return rows.map(({ batch }) => batch);
}
