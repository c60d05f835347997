/** What becomes of a batch, and whose word counts. */
import assert from "node:assert/strict";

import { itemIds } from "../../core/members.ts";
import type { Outcome } from "../../core/settle.ts";
import type { ClaimedBatch } from "../../storage/storage.ts";
import {
  again,
  ascends,
  type Cases,
  children,
  contents,
  DONE,
  FAILURE,
  items,
  numbers,
  settlement,
} from "./fixture.ts";

export const settleCases: Cases = {
  "nothing is left of a batch that is done": async (t) => {
    const queue = await t.queue();
    const worker = await t.worker();
    const batch = await t.claimedBatch(worker, queue, ["a", "b"]);
    const mark = await t.storage.makeDue(queue, null);
    assert.equal(await worker.settle(batch, DONE), "settled");
    await t.pass(100_000);
    assert.deepEqual(await worker.claim(queue, { alone: true }), []);
    const until = "finished";
    assert.equal(await t.storage.outstanding({ queue, group: null, mark, until }), 0);
    const { waiting, retrying, leased, dead } = await t.storage.counts(queue, null);
    assert.deepEqual(
      { waiting, retrying, leased, dead },
      {
        waiting: 0,
        retrying: 0,
        leased: 0,
        dead: 0,
      },
    );
  },

  "the same settlement again is answered as before, and changes nothing": async (t) => {
    const queue = await t.queue();
    const worker = await t.worker();
    const batch = await t.claimedBatch(worker, queue, ["a"]);
    assert.equal(await worker.settle(batch, DONE), "settled");
    const other = await t.claimedBatch(worker, queue, ["b"]);
    assert.equal(await worker.settle(batch, DONE), "settled");
    assert.equal((await t.storage.counts(queue, null)).leased, 1);
    assert.equal(await worker.settle(other, DONE), "settled");
  },

  "a finished batch takes no settlement under another token": async (t) => {
    const queue = await t.queue();
    const worker = await t.worker();
    const first = await t.claimedBatch(worker, queue, ["a"]);
    await t.storage.release([first]);
    const second = await worker.claimOne(queue);
    await worker.done([second]);
    assert.equal(await worker.settle(first, DONE), "lost");
    assert.equal(await worker.settle({ ...second, token: second.token + 1 }, DONE), "lost");
  },

  "a superseded token loses, and the new owner's counts": async (t) => {
    const queue = await t.queue();
    const [slow, quick] = [await t.worker(), await t.worker()];
    const old = await t.claimedBatch(slow, queue, ["a", "b"]);
    await t.storage.release([old]);
    const current = await quick.claimOne(queue);
    for (const outcome of [DONE, again(7), children([[0], [1]])]) {
      assert.equal(await slow.settle(old, outcome), "lost");
    }
    assert.deepEqual(await slow.claim(queue), []);
    const [running] = await t.storage.running(queue);
    assert.equal(running?.token, current.token);
    assert.equal(await quick.settle(current, again(2)), "settled");
    assert.equal((await quick.claimOne(queue)).attempt, 2);
  },

  "a batch that was given back takes no settlement from its last owner": async (t) => {
    const queue = await t.queue();
    const worker = await t.worker();
    const batch = await t.claimedBatch(worker, queue, ["a"]);
    await t.storage.release([batch]);
    assert.equal(await worker.settle(batch, DONE), "lost");
    assert.deepEqual(items(await worker.claimOne(queue)), ["a"]);
  },

  "an owner that was declared dead cannot settle": async (t) => {
    const queue = await t.queue();
    const [zombie, other] = [await t.worker(), await t.worker()];
    const batch = await t.claimedBatch(zombie, queue, ["a"]);
    await t.pass(14_000);
    await t.storage.heartbeat(other.incarnation, 60_000);
    await t.crash(zombie);
    assert.equal(await zombie.settle(batch, DONE), "lost");
    assert.equal(await other.settle(batch, DONE), "lost", "not even through somebody else");
    assert.equal((await other.claimOne(queue, { alone: true })).batch, batch.batch);
  },

  "a settlement of what was never claimed is lost": async (t) => {
    const queue = await t.queue();
    const worker = await t.worker();
    const batch = await t.claimedBatch(worker, queue, ["a"]);
    assert.equal(await worker.settle({ batch: batch.batch + 1000, token: 1 }, DONE), "lost");
    assert.equal(await worker.settle({ ...batch, token: batch.token + 1 }, DONE), "lost");
    assert.equal(await worker.settle({ ...batch, token: 0 }, DONE), "lost");
    assert.equal(await worker.settle(batch, DONE), "settled");
  },

  "settlements are answered position by position": async (t) => {
    const queue = await t.queue();
    const worker = await t.worker();
    await t.add(queue, numbers(40));
    const [a, b, c, d] = (await worker.claim(queue)) as [
      ClaimedBatch,
      ClaimedBatch,
      ClaimedBatch,
      ClaimedBatch,
    ];
    await t.storage.release([b, d]);
    const settlements = [a, b, c, d].map((batch) => settlement(batch, DONE));
    const { settled } = await worker.exchange(queue, { limit: 0, settlements });
    assert.deepEqual(settled, ["settled", "lost", "settled", "lost"]);
    assert.deepEqual(contents(await worker.claim(queue)), [items(b), items(d)]);
  },

  "tokens of a batch grow through release, retry, retirement and death": async (t) => {
    const queue = await t.queue();
    let worker = await t.worker();
    const first = await t.claimedBatch(worker, queue, ["a"]);
    const tokens = [first.token];
    const reclaim = async (): Promise<ClaimedBatch> => {
      const batch = await worker.claimOne(queue, { alone: true });
      assert.equal(batch.batch, first.batch);
      tokens.push(batch.token);
      return batch;
    };
    await t.storage.release([first]);
    await worker.settle(await reclaim(), again(2));
    await reclaim();
    await t.storage.retire(worker.incarnation);
    worker = await t.worker();
    await reclaim();
    await t.crash(worker);
    worker = await t.worker();
    await reclaim();
    await t.storage.reconcile(worker.incarnation, []);
    await reclaim();
    ascends(tokens);
  },

  "a retry is the same batch, after its delay, with the attempt it was given": async (t) => {
    const queue = await t.queue();
    const worker = await t.worker();
    const batch = await t.claimedBatch(worker, queue, ["a", "b"]);
    assert.equal(batch.attempt, 1);
    assert.equal(await worker.settle(batch, again(2, 700)), "settled");
    await t.pass(699);
    assert.deepEqual(await worker.claim(queue), []);
    await t.pass(1);
    const retried = await worker.claimOne(queue);
    const { attempt, parentId, rootId } = retried;
    assert.deepEqual(
      [retried.batch, attempt, parentId, rootId],
      [batch.batch, 2, null, batch.batch],
    );
    assert.deepEqual(items(retried), ["a", "b"]);
    await worker.settle(retried, again(3, 0));
    assert.equal((await worker.claimOne(queue)).attempt, 3);
  },

  "a retry without delay may go in the same exchange": async (t) => {
    const queue = await t.queue();
    const worker = await t.worker();
    const batch = await t.claimedBatch(worker, queue, ["a"]);
    const settlements = [settlement(batch, again(2))];
    const { claimed } = await worker.exchange(queue, { settlements });
    assert.deepEqual(
      claimed.map((next) => [next.batch, next.attempt]),
      [[batch.batch, 2]],
    );
  },

  "retries that are due go in order of their time": async (t) => {
    const queue = await t.queue();
    const worker = await t.worker();
    await t.add(queue, numbers(30));
    const [a, b, c] = (await worker.claim(queue)) as [ClaimedBatch, ClaimedBatch, ClaimedBatch];
    await worker.settle(a, again(2, 300));
    await worker.settle(b, again(2, 100));
    await worker.settle(c, again(2, 200));
    await t.pass(300);
    const order: number[] = [];
    for (let n = 0; n < 3; n++) order.push((await worker.claimOne(queue, { limit: 1 })).batch);
    assert.deepEqual(order, [b.batch, c.batch, a.batch]);
  },

  "failed items go on as a new batch, the others are done": async (t) => {
    const queue = await t.queue();
    const worker = await t.worker();
    const batch = await t.claimedBatch(worker, queue, ["a", "b", "c", "d", "e"]);
    await worker.settle(batch, children([[1, 3]]));
    const child = await worker.claimOne(queue);
    assert.deepEqual(items(child), ["b", "d"]);
    assert.notEqual(child.batch, batch.batch);
    const { parentId, rootId, attempt, group, reason } = child;
    assert.deepEqual(
      { parentId, rootId, attempt, group, reason },
      {
        parentId: batch.batch,
        rootId: batch.batch,
        attempt: 2,
        group: batch.group,
        reason: batch.reason,
      },
    );
    await worker.done([child]);
    assert.deepEqual(await worker.claim(queue), []);
  },

  "a batch cut in two goes on as two, and their children remember the first": async (t) => {
    const queue = await t.queue();
    const worker = await t.worker();
    const batch = await t.claimedBatch(worker, queue, numbers(5));
    await worker.settle(
      batch,
      children(
        [
          [0, 1, 2],
          [3, 4],
        ],
        1,
      ),
    );
    const [left, right] = (await worker.claim(queue)) as [ClaimedBatch, ClaimedBatch];
    assert.deepEqual(contents([left, right]), [
      [0, 1, 2],
      [3, 4],
    ]);
    assert.deepEqual([left.attempt, right.attempt], [1, 1]);
    await worker.settle(right, children([[0], [1]], 1));
    const grand = await worker.claim(queue);
    assert.deepEqual(contents(grand), [[3], [4]]);
    for (const { parentId, rootId } of grand) {
      assert.deepEqual([parentId, rootId], [right.batch, batch.batch]);
    }
  },

  "each child waits for its own delay": async (t) => {
    const queue = await t.queue();
    const worker = await t.worker();
    const batch = await t.claimedBatch(worker, queue, ["a", "b"]);
    const parts = [
      { positions: [0], attempt: 2, delayMs: 500, error: FAILURE },
      { positions: [1], attempt: 2, delayMs: 100, error: FAILURE },
    ];
    await worker.settle(batch, { kind: "split", children: parts, dead: [], error: FAILURE });
    assert.deepEqual(await worker.claim(queue), []);
    await t.pass(100);
    assert.deepEqual(contents(await worker.claim(queue)), [["b"]]);
    await t.pass(400);
    assert.deepEqual(contents(await worker.claim(queue)), [["a"]]);
  },

  "an item keeps its id in every batch that carries it": async (t) => {
    const queue = await t.queue();
    const worker = await t.worker();
    await t.add(queue, ["a", "b", "c"]);
    await t.add(queue, ["d", "e", "f"]);
    await t.add(queue, ["g", "h", "i"]);
    await t.storage.makeDue(queue, null);
    const batch = await worker.claimOne(queue);
    const ids = itemIds(batch.members);
    const positions = [0, 2, 4, 6, 7, 8];
    await worker.settle(batch, children([positions]));
    const child = await worker.claimOne(queue);
    assert.deepEqual(items(child), ["a", "c", "e", "g", "h", "i"]);
    assert.deepEqual(
      itemIds(child.members),
      positions.map((position) => ids[position]),
    );
    await worker.settle(child, children([[1, 2, 5]], 3));
    const grandchild = await worker.claimOne(queue);
    assert.deepEqual(items(grandchild), ["c", "e", "i"]);
    assert.deepEqual(itemIds(grandchild.members), [ids[2], ids[4], ids[8]]);
  },

  "dead items become dead letters, the others go on or are done": async (t) => {
    const queue = await t.queue();
    const worker = await t.worker();
    const batch = await t.claimedBatch(worker, queue, ["dead", "done", "again", "dead too"]);
    const outcome: Outcome = {
      kind: "split",
      children: [{ positions: [2], attempt: 2, delayMs: 0, error: FAILURE }],
      dead: [
        { position: 0, error: FAILURE },
        { position: 3, error: FAILURE },
      ],
      error: FAILURE,
    };
    assert.equal(await worker.settle(batch, outcome), "settled");
    assert.equal((await t.storage.counts(queue, null)).dead, 2);
    assert.deepEqual(contents(await worker.claim(queue)), [["again"]]);
  },

  "a batch whose items are all dead is over": async (t) => {
    const queue = await t.queue();
    const worker = await t.worker();
    await t.bury(worker, queue, ["a", "b", "c"]);
    const { retrying, leased, dead } = await t.storage.counts(queue, null);
    assert.deepEqual({ retrying, leased, dead }, { retrying: 0, leased: 0, dead: 3 });
    assert.deepEqual(await worker.claim(queue, { alone: true }), []);
  },

  "a lost split makes no children and no dead letters": async (t) => {
    const queue = await t.queue();
    const worker = await t.worker();
    const batch = await t.claimedBatch(worker, queue, ["a", "b"]);
    await t.storage.release([batch]);
    const part = { positions: [0], attempt: 2, delayMs: 0, error: FAILURE };
    const dead = [{ position: 1, error: FAILURE }];
    const outcome: Outcome = { kind: "split", children: [part], dead, error: FAILURE };
    assert.equal(await worker.settle(batch, outcome), "lost");
    assert.equal((await t.storage.counts(queue, null)).dead, 0);
    assert.deepEqual(contents(await worker.claim(queue)), [["a", "b"]]);
  },

  "a child is retried, released and settled like any batch": async (t) => {
    const queue = await t.queue();
    const worker = await t.worker();
    const batch = await t.claimedBatch(worker, queue, ["a", "b", "c"]);
    await worker.settle(batch, children([[0, 2]]));
    const child = await worker.claimOne(queue);
    await t.storage.release([child]);
    const released = await worker.claimOne(queue);
    await worker.settle(released, again(3));
    const retried = await worker.claimOne(queue);
    assert.deepEqual([retried.batch, retried.attempt], [child.batch, 3]);
    assert.deepEqual(items(retried), ["a", "c"]);
    await worker.done([retried]);
    assert.deepEqual(await worker.claim(queue), []);
  },
};
