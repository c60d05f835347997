/** Dead letters: kept, shown, put back, thrown away, and told of. */
import assert from "node:assert/strict";

import type { Outcome } from "../../core/settle.ts";
import type { DeadRow } from "../../storage/storage.ts";
import {
  again,
  contents,
  decode,
  FAILURE,
  items,
  numbers,
  sorted,
  WAIT_MS,
  type Cases,
  type Fixture,
} from "./fixture.ts";

const RETRY_MS = 60_000;

interface Page {
  readonly group?: string;
  readonly after?: number;
  readonly limit?: number;
}

async function letters(t: Fixture, queue: number, page: Page = {}): Promise<DeadRow[]> {
  const { group = null, after = 0, limit = 1000 } = page;
  return t.storage.deadLetters({ queue, group, after, limit });
}

function found(rows: readonly DeadRow[]): unknown[] {
  return rows.flatMap(({ payload }) => decode(payload));
}

function ids(rows: readonly DeadRow[]): number[] {
  return rows.map(({ id }) => id);
}

export const deadLetterCases: Cases = {
  "a dead letter says all there is to know": async (t) => {
    const queue = await t.queue();
    const worker = await t.worker();
    const { id: chunk } = await t.add(queue, ["a", "b", "c"], { group: "g", dueInMs: 0 });
    const batch = await worker.claimOne(queue);
    await worker.settle(batch, again(2));
    const retried = await worker.claimOne(queue);
    const error = { name: "TypeError", message: "not a b", stack: "at line 1", code: "E_B" };
    const dead = [{ position: 1, error }];
    const outcome: Outcome = { kind: "split", children: [], dead, error: FAILURE };
    assert.equal(await worker.settle(retried, outcome), "settled");
    const { now } = await worker.exchange(queue);
    const [letter, ...others] = await letters(t, queue);
    assert.deepEqual(others, []);
    assert.ok(letter !== undefined && letter.id > 0);
    assert.deepEqual(decode(letter.payload), ["b"]);
    assert.deepEqual(letter, {
      id: letter.id,
      queue,
      group: "g",
      itemId: `${chunk}:1`,
      payload: letter.payload,
      error,
      attempts: 2,
      crashes: 0,
      batch: batch.batch,
      rootId: batch.batch,
      diedAt: now,
    });
  },

  "letters are listed oldest first, page by page": async (t) => {
    const queue = await t.queue();
    const worker = await t.worker();
    for (let n = 0; n < 25; n += 5) await t.bury(worker, queue, numbers(5, n));
    assert.deepEqual(found(await letters(t, queue)), numbers(25));
    const pages: unknown[][] = [];
    let after = 0;
    for (;;) {
      const page = await letters(t, queue, { after, limit: 10 });
      if (page.length === 0) break;
      pages.push(found(page));
      after = (page.at(-1) as DeadRow).id;
    }
    assert.deepEqual(pages, [numbers(10), numbers(10, 10), numbers(5, 20)]);
  },

  "letters of one group are listed by themselves": async (t) => {
    const queue = await t.queue();
    const worker = await t.worker();
    for (const name of ["orders", "orders:eu", "orders"]) await t.bury(worker, queue, [name], name);
    assert.deepEqual(found(await letters(t, queue, { group: "orders" })), ["orders", "orders"]);
    assert.deepEqual(found(await letters(t, queue, { group: "orders:eu" })), ["orders:eu"]);
    assert.deepEqual(await letters(t, queue, { group: "order" }), []);
    assert.deepEqual(await letters(t, await t.queue("other")), []);
  },

  "redriven items come back at once, in their group, with all attempts": async (t) => {
    const queue = await t.queue();
    const worker = await t.worker();
    await t.bury(worker, queue, numbers(5), "g");
    const rows = await letters(t, queue);
    const wanted = ids(rows).filter((_id, n) => n !== 2);
    assert.equal(await t.storage.redrive(queue, wanted), 4);
    assert.deepEqual(found(await letters(t, queue)), [2]);
    const batch = await worker.claimOne(queue);
    assert.deepEqual(items(batch), [0, 1, 3, 4]);
    assert.deepEqual([batch.group, batch.attempt, batch.parentId], ["g", 1, null]);
    assert.equal(batch.rootId, batch.batch);
  },

  "all are redriven, each into its own group": async (t) => {
    const queue = await t.queue();
    const worker = await t.worker();
    for (const group of ["b", "a", "b", "c"]) await t.bury(worker, queue, [`${group}!`], group);
    assert.equal(await t.storage.redrive(queue, "all"), 4);
    assert.deepEqual(await letters(t, queue), []);
    const batches = await worker.claim(queue);
    const byGroup = batches.map((batch) => [batch.group, items(batch)]);
    assert.deepEqual(
      byGroup.toSorted((x, y) => String(x[0]).localeCompare(String(y[0]))),
      [
        ["a", ["a!"]],
        ["b", ["b!", "b!"]],
        ["c", ["c!"]],
      ],
    );
  },

  "a large redrive brings every item back once, in order": async (t) => {
    const queue = await t.queue();
    const worker = await t.worker();
    await t.bury(worker, queue, numbers(700));
    await t.bury(worker, queue, numbers(600, 700));
    assert.equal(await t.storage.redrive(queue, "all"), 1300);
    const batches = await worker.claim(queue, { maxSize: 400 });
    assert.deepEqual(
      batches.map(({ count }) => count),
      [400, 400, 400, 100],
    );
    assert.deepEqual(contents(batches).flat(), numbers(1300));
  },

  "redriven items are due though others of their group are not": async (t) => {
    const queue = await t.queue();
    const worker = await t.worker();
    await t.bury(worker, queue, ["dead"], "g");
    await t.add(queue, ["young"], { group: "g", dueInMs: RETRY_MS });
    await t.storage.redrive(queue, "all");
    assert.ok(items(await worker.claimOne(queue)).includes("dead"));
  },

  "unknown ids, ids of other queues and repeats are passed over": async (t) => {
    const queue = await t.queue("mine");
    const other = await t.queue("other");
    const worker = await t.worker();
    await t.bury(worker, queue, ["mine"]);
    await t.bury(worker, other, ["other"]);
    const [mine] = ids(await letters(t, queue));
    const [foreign] = ids(await letters(t, other));
    assert.ok(mine !== undefined && foreign !== undefined);
    assert.equal(await t.storage.redrive(queue, [foreign, 99_999]), 0);
    assert.equal(await t.storage.discard(queue, [foreign, 99_999]), 0);
    assert.equal(await t.storage.redrive(queue, []), 0);
    assert.equal(await t.storage.redrive(queue, [mine, foreign, mine]), 1);
    assert.equal(await t.storage.redrive(queue, [mine]), 0);
    assert.deepEqual(contents(await worker.claim(queue)), [["mine"]]);
    assert.deepEqual(found(await letters(t, other)), ["other"]);
  },

  "discarded letters are gone for good": async (t) => {
    const queue = await t.queue("mine");
    const other = await t.queue("other");
    const worker = await t.worker();
    await t.bury(worker, queue, numbers(5));
    await t.bury(worker, other, ["other"]);
    const [first, , third] = ids(await letters(t, queue));
    assert.equal(await t.storage.discard(queue, [third as number, first as number]), 2);
    assert.deepEqual(found(await letters(t, queue)), [1, 3, 4]);
    assert.equal(await t.storage.discard(queue, "all"), 3);
    assert.equal(await t.storage.redrive(queue, "all"), 0);
    await t.pass(WAIT_MS);
    assert.deepEqual(await worker.claim(queue), []);
    assert.deepEqual(found(await letters(t, other)), ["other"]);
    assert.equal((await t.storage.counts(queue, null)).dead, 0);
  },

  "an item that dies again is a new letter": async (t) => {
    const queue = await t.queue();
    const worker = await t.worker();
    await t.bury(worker, queue, ["a"]);
    const [before] = await letters(t, queue);
    await t.storage.redrive(queue, "all");
    const dead = [{ position: 0, error: FAILURE }];
    const outcome: Outcome = { kind: "split", children: [], dead, error: FAILURE };
    await worker.settle(await worker.claimOne(queue), outcome);
    const [after, ...others] = await letters(t, queue);
    assert.ok(before !== undefined && after !== undefined && after.id > before.id);
    assert.deepEqual([others, decode(after.payload)], [[], ["a"]]);
    assert.notEqual(after.itemId, before.itemId);
  },

  "letters are told of whole batches at a time, oldest first": async (t) => {
    const queue = await t.queue("orders", true);
    const worker = await t.worker();
    for (const n of [0, 3, 6]) await t.bury(worker, queue, numbers(3, n));
    assert.deepEqual(found(await t.storage.takeUnnotified([queue], 4, RETRY_MS)), numbers(6));
    assert.deepEqual(found(await t.storage.takeUnnotified([queue], 1, RETRY_MS)), numbers(3, 6));
    assert.deepEqual(await t.storage.takeUnnotified([queue], 100, RETRY_MS), []);
  },

  "letters are told again unless it was acknowledged": async (t) => {
    const queue = await t.queue("orders", true);
    const worker = await t.worker();
    await t.bury(worker, queue, ["a"]);
    await t.bury(worker, queue, ["b"]);
    const taken = await t.storage.takeUnnotified([queue], 100, RETRY_MS);
    assert.deepEqual(found(taken), ["a", "b"]);
    await t.storage.acknowledgeDead(ids(taken).slice(0, 1));
    await t.pass(RETRY_MS - 1);
    assert.deepEqual(await t.storage.takeUnnotified([queue], 100, RETRY_MS), []);
    await t.pass(1);
    assert.deepEqual(found(await t.storage.takeUnnotified([queue], 100, RETRY_MS)), ["b"]);
    await t.storage.acknowledgeDead(ids(taken));
    await t.pass(10 * RETRY_MS);
    assert.deepEqual(await t.storage.takeUnnotified([queue], 100, RETRY_MS), []);
    assert.deepEqual(found(await letters(t, queue)), ["a", "b"], "they are kept all the same");
  },

  "nobody is told of letters in a queue that does not ask": async (t) => {
    const quiet = await t.queue("quiet", false);
    const loud = await t.queue("loud", true);
    const worker = await t.worker();
    await t.bury(worker, quiet, ["q"]);
    await t.bury(worker, loud, ["l"]);
    assert.deepEqual(await t.storage.takeUnnotified([quiet], 100, RETRY_MS), []);
    assert.deepEqual(found(await t.storage.takeUnnotified([loud], 100, RETRY_MS)), ["l"]);
  },

  "letters of several queues are taken one queue at a time, none is passed over": async (t) => {
    const queues = [await t.queue("one", true), await t.queue("two", true), await t.queue("three")];
    const worker = await t.worker();
    for (const queue of queues) await t.bury(worker, queue, [queue, queue + 0.5]);
    const taken: unknown[] = [];
    for (let n = 0; n < 2; n++) {
      const rows = await t.storage.takeUnnotified(queues, 1, RETRY_MS);
      assert.equal(new Set(rows.map(({ queue }) => queue)).size, 1);
      taken.push(...found(rows));
    }
    const [one, two] = queues as [number, number];
    assert.deepEqual(sorted(taken.map(Number)), [one, one + 0.5, two, two + 0.5]);
    assert.deepEqual(await t.storage.takeUnnotified(queues, 1, RETRY_MS), []);
    assert.deepEqual(await t.storage.takeUnnotified([], 1, RETRY_MS), []);
  },

  "letters of items that killed their process are told of too": async (t) => {
    const queue = await t.queue("orders", true);
    await t.add(queue, ["bomb"], { dueInMs: 0 });
    for (let n = 0; n < 2; n++) {
      const worker = await t.worker();
      await worker.claimOne(queue, { alone: true });
      await t.crash(worker, 1);
    }
    assert.deepEqual(found(await t.storage.takeUnnotified([queue], 1, RETRY_MS)), ["bomb"]);
  },

  "nobody is told of what was put back or thrown away": async (t) => {
    const queue = await t.queue("orders", true);
    await t.bury(await t.worker(), queue, ["a", "b", "c"]);
    const [a, b] = ids(await letters(t, queue));
    await t.storage.redrive(queue, [a as number]);
    await t.storage.discard(queue, [b as number]);
    assert.deepEqual(found(await t.storage.takeUnnotified([queue], 100, RETRY_MS)), ["c"]);
  },
};
