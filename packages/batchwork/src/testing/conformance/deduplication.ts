/** Items whose key another item of the group holds are left out. */
import assert from "node:assert/strict";

import { itemIds } from "../../core/members.ts";
import type { NewChunk } from "../../storage/storage.ts";
import {
  again,
  children,
  contents,
  DONE,
  FAILURE,
  items,
  sorted,
  type Cases,
  type Fixture,
  type Into,
  type Worker,
} from "./fixture.ts";

/** Items like `a1`: the letter is the key. */
function chunk(t: Fixture, queue: number, values: readonly string[], into?: Into): NewChunk {
  return { ...t.chunk(queue, values, into), dedupKeys: values.map((value) => value.slice(0, 1)) };
}

/** Appends the items as one chunk and returns its id. */
async function add(
  t: Fixture,
  queue: number,
  values: readonly string[],
  into?: Into,
): Promise<number> {
  const [appended] = await t.storage.append([chunk(t, queue, values, into)]);
  return (appended as { readonly id: number }).id;
}

async function claimNow(
  t: Fixture,
  worker: Worker,
  queue: number,
  maxSize = 10,
): Promise<unknown[][]> {
  await t.storage.makeDue(queue, null);
  return contents(await worker.claim(queue, { maxSize, groupConcurrency: 100 }));
}

async function waitingIn(t: Fixture, queue: number, group: string | null = null): Promise<number> {
  return (await t.storage.counts(queue, group)).waiting;
}

export const deduplicationCases: Cases = {
  "an item is left out when another with its key waits, and the first stays as it is": async (
    t,
  ) => {
    const queue = await t.queue();
    const worker = await t.worker();
    await add(t, queue, ["a1", "b1"]);
    await add(t, queue, ["b2", "a2", "c2"]);
    assert.deepEqual(await claimNow(t, worker, queue), [["a1", "b1", "c2"]]);
  },

  "duplicates within one chunk are left out, wherever they are": async (t) => {
    const queue = await t.queue();
    const worker = await t.worker();
    const id = await add(t, queue, ["a1", "a2", "b1", "a3", "b2", "c1", "c2"]);
    await t.storage.makeDue(queue, null);
    const batch = await worker.claimOne(queue);
    assert.deepEqual(items(batch), ["a1", "b1", "c1"]);
    assert.deepEqual(itemIds(batch.members), [`${id}:0`, `${id}:2`, `${id}:5`]);
    assert.equal(batch.bytes, t.storage.payload === "text" ? 12 : batch.bytes);
  },

  "a key is free again once its item was handed over": async (t) => {
    const queue = await t.queue();
    const worker = await t.worker();
    await add(t, queue, ["a1", "b1"]);
    assert.deepEqual(await claimNow(t, worker, queue), [["a1", "b1"]]);
    await add(t, queue, ["a2", "a3"]);
    assert.deepEqual(await claimNow(t, worker, queue), [["a2"]]);
  },

  "items that a full batch left behind still hold their keys": async (t) => {
    const queue = await t.queue();
    const worker = await t.worker();
    await add(t, queue, ["a1", "b1", "c1"]);
    assert.deepEqual(contents(await worker.claim(queue, { maxSize: 2 })), [["a1", "b1"]]);
    await add(t, queue, ["c2", "a2", "d2"]);
    assert.deepEqual(await claimNow(t, worker, queue), [["c1", "a2", "d2"]]);
    await add(t, queue, ["c3", "a3"]);
    assert.deepEqual(await claimNow(t, worker, queue), [["c3", "a3"]]);
  },

  "duplicates count neither towards maxSize nor towards maxBytes": async (t) => {
    const queue = await t.queue();
    const worker = await t.worker();
    await add(t, queue, ["a1", "a2", "a3"]);
    await add(t, queue, ["a4", "b1"]);
    assert.deepEqual(await worker.claim(queue, { maxSize: 3 }), []);
    if (t.storage.payload === "text") {
      assert.deepEqual(await worker.claim(queue, { maxBytes: 9 }), []);
      assert.equal((await worker.claimOne(queue, { maxBytes: 8 })).bytes, 8);
      return;
    }
    assert.deepEqual(contents(await worker.claim(queue, { maxSize: 2 })), [["a1", "b1"]]);
  },

  "counts tell of each item once, before and after a look": async (t) => {
    const queue = await t.queue();
    const worker = await t.worker();
    await add(t, queue, ["a1", "b1", "a2"]);
    await add(t, queue, ["b2"], { group: "" });
    await add(t, queue, ["b3"], { group: "other" });
    assert.equal(await waitingIn(t, queue), 3);
    assert.equal(await waitingIn(t, queue, ""), 2);
    assert.deepEqual(await worker.claim(queue), []);
    assert.equal(await waitingIn(t, queue), 3);
    await add(t, queue, ["a4", "c4", "c5"]);
    assert.equal(await waitingIn(t, queue, ""), 3);
    assert.equal(await waitingIn(t, queue), 4);
  },

  "the same key in another group, or in another queue, is another key": async (t) => {
    const queue = await t.queue("one");
    const other = await t.queue("two");
    const worker = await t.worker();
    await add(t, queue, ["a1"], { group: "g" });
    await add(t, queue, ["a2"], { group: "h" });
    await add(t, other, ["a3"], { group: "g" });
    assert.deepEqual(sorted((await claimNow(t, worker, queue)).flat().map(String)), ["a1", "a2"]);
    assert.deepEqual(await claimNow(t, worker, other), [["a3"]]);
  },

  "a chunk of nothing but duplicates leaves nothing to wait for": async (t) => {
    const queue = await t.queue();
    const worker = await t.worker();
    await add(t, queue, ["a1"]);
    const batches = await claimNow(t, worker, queue);
    assert.deepEqual(batches, [["a1"]]);
    await add(t, queue, ["b1"]);
    await add(t, queue, ["b2", "b3"]);
    const mark = await t.storage.makeDue(queue, null);
    assert.deepEqual(contents(await worker.claim(queue)), [["b1"]]);
    await worker.done(await t.storage.running(queue));
    const query = { queue, group: null, mark, until: "finished" } as const;
    assert.equal(await t.storage.outstanding(query), 0);
  },

  "another attempt holds no key, and needs none": async (t) => {
    const queue = await t.queue();
    const worker = await t.worker();
    await add(t, queue, ["a1", "a2", "b1"]);
    await t.storage.makeDue(queue, null);
    const batch = await worker.claimOne(queue);
    assert.equal(await worker.settle(batch, again(2)), "settled");
    await add(t, queue, ["a3"]);
    await t.storage.makeDue(queue, null);
    const both = contents(await worker.claim(queue)).map((batch) => batch.join(" "));
    assert.deepEqual(sorted(both), ["a1 b1", "a3"]);
  },

  "items between which others were left out can be split, buried and redriven": async (t) => {
    const queue = await t.queue();
    const worker = await t.worker();
    await add(t, queue, ["a1", "a2", "b1", "b2", "c1", "d1", "d2", "e1"]);
    await t.storage.makeDue(queue, null);
    const batch = await worker.claimOne(queue);
    assert.deepEqual(items(batch), ["a1", "b1", "c1", "d1", "e1"]);
    assert.equal(
      await worker.settle(
        batch,
        children([
          [0, 2],
          [1, 3, 4],
        ]),
      ),
      "settled",
    );
    const [one, two] = await worker.claim(queue);
    assert.ok(one !== undefined && two !== undefined);
    assert.deepEqual(contents([one, two]), [
      ["a1", "c1"],
      ["b1", "d1", "e1"],
    ]);
    await worker.done([one]);
    const dead = [{ position: 1, error: FAILURE }];
    const outcome = { kind: "split", children: [], dead, error: FAILURE } as const;
    assert.equal(await worker.settle(two, outcome), "settled");
    await add(t, queue, ["d3"]);
    assert.equal(await t.storage.redrive(queue, "all"), 1);
    const found = sorted((await claimNow(t, worker, queue)).flat().map(String));
    assert.deepEqual(found, ["d1", "d3"], "what was redriven holds no key");
  },

  "batches are cut between items that were left out": async (t) => {
    const queue = await t.queue();
    const worker = await t.worker();
    await add(t, queue, ["a1", "a2", "b1", "b2", "c1", "c2", "d1", "d2", "e1", "f1"]);
    const sizes = { maxSize: 2 };
    const first = await worker.claim(queue, { ...sizes, limit: 1 });
    assert.deepEqual(contents(first), [["a1", "b1"]]);
    await add(t, queue, ["c3", "b3"]);
    const rest = await worker.claim(queue, sizes);
    assert.deepEqual(contents(rest), [
      ["c1", "d1"],
      ["e1", "f1"],
    ]);
    assert.deepEqual(await claimNow(t, worker, queue), [["b3"]]);
    await worker.done([...first, ...rest]);
  },

  "batches are cut by bytes between items that were left out": async (t) => {
    if (t.storage.payload !== "text") return;
    const queue = await t.queue();
    const worker = await t.worker();
    await add(t, queue, ["a1", "a2", "b11111", "b2", "c1", "d1"]);
    const batches = await worker.claim(queue, { maxBytes: 13 });
    assert.deepEqual(contents(batches), [["a1", "b11111"]]);
    assert.equal(batches[0]?.bytes, 12);
    assert.deepEqual(await claimNow(t, worker, queue), [["c1", "d1"]]);
  },

  "chunks with keys and chunks without share a group": async (t) => {
    const queue = await t.queue();
    const worker = await t.worker();
    await add(t, queue, ["a1"]);
    await t.add(queue, ["a2", "a3"]);
    await add(t, queue, ["a4", "b4"]);
    assert.deepEqual(await claimNow(t, worker, queue), [["a1", "a2", "a3", "b4"]]);
  },

  "keys may be any text": async (t) => {
    const queue = await t.queue();
    const worker = await t.worker();
    const keys = ["", " ", "\0", "a\nb", "🧾", "'", "{}", "NULL", "é", "e\u0301", "x".repeat(512)];
    const values = keys.map((_key, n) => n);
    const header = t.chunk(queue, [...values, ...values.map((n) => n + 100)]);
    await t.storage.append([{ ...header, dedupKeys: [...keys, ...keys] }]);
    assert.deepEqual(await claimNow(t, worker, queue, 50), [values]);
  },

  "what was left out is not stored for longer than its neighbours": async (t) => {
    const queue = await t.queue();
    const worker = await t.worker();
    await add(t, queue, ["a1", "a2", "b1"]);
    await t.storage.makeDue(queue, null);
    const batch = await worker.claimOne(queue);
    assert.equal(await worker.settle(batch, DONE), "settled");
    const { waiting, groups, leased } = await t.storage.counts(queue, null);
    assert.deepEqual({ waiting, groups, leased }, { waiting: 0, groups: 0, leased: 0 });
  },

  "many processes that add the same keys at once leave one of each": async (t) => {
    const queue = await t.queue();
    const worker = await t.worker();
    const second = await t.second();
    const letters = "abcdefghij".split("");
    await Promise.all(
      Array.from({ length: 6 }, async (_, n) => {
        const storage = n % 2 === 0 ? t.storage : second;
        const values = letters.map((letter) => `${letter}${n}`);
        return storage.append([chunk(t, queue, n % 3 === 0 ? values : values.toReversed())]);
      }),
    );
    const [batch = []] = await claimNow(t, worker, queue, 100);
    assert.deepEqual(sorted(batch.map((item) => String(item).slice(0, 1))), letters);
  },
};
