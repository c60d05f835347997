/** Definitions, names and pausing. */
import assert from "node:assert/strict";

import { again, contents, items, type Cases } from "./fixture.ts";

/** Names that a careless storage would confuse or run. */
const NAMES = [
  "orders",
  "orders:eu",
  "Orders",
  "orders ",
  "order",
  "orders%",
  "orders_",
  "__proto__",
  "constructor",
  "'; DROP TABLE batches; --",
  '"orders"',
  "commandes 🧾",
];

export const queueCases: Cases = {
  "the same name is the same queue, also when it is defined again": async (t) => {
    const first = await t.queue("orders");
    const other = await t.queue("invoices");
    assert.notEqual(first, other);
    assert.equal(await t.queue("orders"), first);
  },

  "definitions are answered position by position": async (t) => {
    const orders = await t.queue("orders");
    const names = ["invoices", "orders", "mails"];
    const infos = await t.storage.define(names.map((name) => ({ name, notify: false })));
    assert.equal(infos.length, 3);
    assert.equal(infos[1]?.id, orders);
    assert.equal(infos[2]?.id, await t.queue("mails"));
  },

  "items never cross between queues, however alike or odd their names are": async (t) => {
    const worker = await t.worker();
    const infos = await t.storage.define(NAMES.map((name) => ({ name, notify: false })));
    assert.equal(new Set(infos.map(({ id }) => id)).size, NAMES.length);
    for (const [n, { id }] of infos.entries()) await t.add(id, [NAMES[n]], { dueInMs: 0 });
    for (const [n, { id }] of infos.entries()) {
      assert.deepEqual(items(await worker.claimOne(id)), [NAMES[n]]);
    }
  },

  "a paused queue hands over nothing, and takes items all the same": async (t) => {
    const queue = await t.queue();
    const worker = await t.worker();
    await t.add(queue, ["before"], { dueInMs: 0 });
    await t.storage.setPaused([queue], true);
    await t.add(queue, ["after"], { dueInMs: 0 });
    const exchanged = await worker.exchange(queue, { maxSize: 1 });
    assert.deepEqual(exchanged.claimed, []);
    assert.equal(exchanged.more, false);
    assert.equal((await t.storage.counts(queue, null)).waiting, 2);
  },

  "a resumed queue hands over what came before and during the pause": async (t) => {
    const queue = await t.queue();
    const worker = await t.worker();
    await t.add(queue, ["before"], { dueInMs: 0 });
    await t.storage.setPaused([queue], true);
    await t.add(queue, ["during"], { dueInMs: 0 });
    await worker.exchange(queue);
    await t.storage.setPaused([queue], false);
    assert.deepEqual(contents(await worker.claim(queue)), [["before", "during"]]);
  },

  "a paused queue hands over no batch that waits for another attempt": async (t) => {
    const queue = await t.queue();
    const worker = await t.worker();
    const batch = await t.claimedBatch(worker, queue, ["a"]);
    await t.storage.setPaused([queue], true);
    assert.equal(await worker.settle(batch, again(2)), "settled");
    assert.deepEqual(await worker.claim(queue), []);
    await t.storage.setPaused([queue], false);
    assert.equal((await worker.claimOne(queue)).batch, batch.batch);
  },

  "a batch that was claimed before the pause may still be settled": async (t) => {
    const queue = await t.queue();
    const worker = await t.worker();
    const batch = await t.claimedBatch(worker, queue, ["a"]);
    await t.storage.setPaused([queue], true);
    await worker.done([batch]);
    assert.equal((await t.storage.counts(queue, null)).leased, 0);
  },

  "pausing a queue leaves the others alone": async (t) => {
    const worker = await t.worker();
    const paused = await t.queue("paused");
    const open = await t.queue("open");
    await t.add(paused, ["p"], { dueInMs: 0 });
    await t.add(open, ["o"], { dueInMs: 0 });
    await t.storage.setPaused([paused], true);
    assert.deepEqual(contents(await worker.claim(paused)), []);
    assert.deepEqual(contents(await worker.claim(open)), [["o"]]);
  },

  "a definition tells whether the queue is paused, and does not resume it": async (t) => {
    const queue = await t.queue();
    await t.storage.setPaused([queue], true);
    const [info] = await t.storage.define([{ name: "orders", notify: true }]);
    assert.deepEqual(info, { id: queue, paused: true });
    assert.equal((await t.storage.counts(queue, null)).paused, true);
    await t.storage.setPaused([queue], false);
    const [resumed] = await t.storage.define([{ name: "orders", notify: true }]);
    assert.deepEqual(resumed, { id: queue, paused: false });
  },

  "one exchange claims from several queues, each up to its own limit": async (t) => {
    const worker = await t.worker();
    const left = await t.queue("left");
    const right = await t.queue("right");
    await t.add(left, ["l1", "l2", "l3"]);
    await t.add(right, ["r1", "r2", "r3"]);
    const caps = { maxSize: 1, maxBytes: Infinity, groupConcurrency: Infinity };
    const { claimed, more } = await t.storage.exchange({
      incarnation: worker.incarnation,
      settlements: [],
      claims: [
        { ...caps, queue: left, limit: 1 },
        { ...caps, queue: right, limit: 2 },
      ],
      alone: false,
    });
    const found = claimed.map((batch) => [batch.queue, ...items(batch)]);
    assert.deepEqual(
      found.toSorted((a, b) => String(a[1]).localeCompare(String(b[1]))),
      [
        [left, "l1"],
        [right, "r1"],
        [right, "r2"],
      ],
    );
    assert.equal(more, true);
  },
};
