/** Intake. */
import assert from "node:assert/strict";

import type { NewChunk } from "../../storage/storage.ts";
import { ascends, type Cases, items, numbers, WAIT_MS } from "./fixture.ts";

export const appendCases: Cases = {
  "ids ascend in the order given, from call to call": async (t) => {
    const queue = await t.queue();
    const ids: number[] = [];
    for (const groups of [["a", "b", "a"], ["c"], ["b", "a"]]) {
      const chunks = groups.map((group) => t.chunk(queue, [group], { group }));
      for (const { id } of await t.storage.append(chunks)) ids.push(id);
    }
    assert.equal(ids.length, 6);
    ascends(ids);
  },

  "a chunk is due so long after storage time of its append": async (t) => {
    const queue = await t.queue();
    await t.pass(5000);
    const { now } = await (await t.worker()).exchange(queue);
    const [soon, late] = await t.storage.append([
      t.chunk(queue, ["soon"], { dueInMs: 250 }),
      t.chunk(queue, ["late"], { dueInMs: 60_000 }),
    ]);
    assert.equal(soon?.dueAt, now + 250);
    assert.equal(late?.dueAt, now + 60_000);
  },

  "a call that fails half-way appends nothing": async (t) => {
    const queue = await t.queue();
    const worker = await t.worker();
    const good = t.chunk(queue, ["good"], { dueInMs: 0 });
    const bad: NewChunk = {
      ...good,
      get payload(): string {
        throw new TypeError("cannot be read");
      },
    };
    await assert.rejects(t.storage.append([good, good, bad]));
    assert.equal((await t.storage.counts(queue, null)).waiting, 0);
    assert.deepEqual(await worker.claim(queue), []);
    await t.add(queue, ["next"], { dueInMs: 0 });
    assert.deepEqual(items(await worker.claimOne(queue)), ["next"]);
  },

  "an empty call appends nothing": async (t) => {
    const queue = await t.queue();
    assert.deepEqual(await t.storage.append([]), []);
    assert.equal((await t.storage.counts(queue, null)).waiting, 0);
  },

  "a large commit over many groups lands whole": async (t) => {
    const queue = await t.queue();
    const chunks = numbers(1000).map((n) =>
      t.chunk(queue, numbers(n % 7 || 7), { group: `${n % 90}` }),
    );
    let count = 0;
    for (const chunk of chunks) count += chunk.count;
    assert.equal((await t.storage.append(chunks)).length, 1000);
    const { waiting, groups } = await t.storage.counts(queue, null);
    assert.deepEqual({ waiting, groups }, { waiting: count, groups: 90 });
  },

  "items come back as they were given": async (t) => {
    const queue = await t.queue();
    const given = [
      "",
      " ",
      ",\n",
      String.raw`a "quoted" \ text`,
      "line\r\nbreak\u2028",
      "\u0000nul",
      "grüße 🧾 \uD83D",
      0,
      -1.5,
      1e21,
      true,
      null,
      [],
      {},
      { deep: [{ list: [1, [2, [3]]] }], "": "empty key", "a,\nb": 1 },
    ];
    await t.add(queue, given, { dueInMs: 0 });
    const batch = await (await t.worker()).claimOne(queue, { maxSize: 100 });
    assert.deepEqual(items(batch), given);
  },

  "a chunk larger than a page of memory comes back as it was given": async (t) => {
    const queue = await t.queue();
    const given = numbers(400).map((n) => `${n}:${"x".repeat(500)}`);
    await t.add(queue, given);
    const batch = await (await t.worker()).claimOne(queue, { maxSize: 400 });
    assert.deepEqual(items(batch), given);
    assert.equal(batch.bytes, t.chunk(queue, given).bytes);
  },

  "a second append does not put off what waits already": async (t) => {
    const queue = await t.queue();
    const worker = await t.worker();
    await t.add(queue, ["early"]);
    await t.pass(WAIT_MS - 1);
    await t.add(queue, ["late"]);
    assert.deepEqual(await worker.claim(queue), []);
    await t.pass(1);
    assert.deepEqual(items(await worker.claimOne(queue)), ["early", "late"]);
  },
};
