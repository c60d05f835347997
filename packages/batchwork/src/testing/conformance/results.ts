/** What became of single items is kept with what ends them, once, and for a while. */
import assert from "node:assert/strict";

import { joinItems } from "../../core/codec.ts";
import { itemIds } from "../../core/members.ts";
import type { ItemResult } from "../../core/results.ts";
import type { Outcome } from "../../core/settle.ts";
import { SubmittedItem, submittedText } from "../../core/submitted.ts";
import type { FoundResult } from "../../storage/results.ts";
import type { ClaimedBatch } from "../../storage/storage.ts";
import { part } from "./preparation.ts";
import {
  again,
  FAILURE,
  LEASE_MS,
  rejectsWith,
  type Cases,
  type Fixture,
  type Worker,
} from "./fixture.ts";

/** Results are kept this long unless a case says otherwise. */
const TTL_MS = 60_000;

const UNKNOWN: FoundResult = { status: "unknown" };
const PENDING: FoundResult = { status: "pending" };

/** What is awkward to store, as encoded text. */
const AWKWARD = JSON.stringify(["'", '"', "\\", "\u0000", "\n", ",\n", "é 🚀", "$1", "@.x"]);

function success(id: string, value: string | null = '"ok"', ttlMs = TTL_MS): ItemResult {
  return { id, kind: "success", value, error: null, ttlMs };
}

/** Appends items as those of one chunk whose adders wait for results. */
async function submit(
  t: Fixture,
  queue: number,
  items: readonly unknown[],
  ttlMs = TTL_MS,
): Promise<void> {
  const chunk = t.chunk(queue, items, { dueInMs: 0 });
  const texts = items.map((item) => submittedText(JSON.stringify(item), ttlMs));
  const payload =
    t.storage.payload === "text"
      ? joinItems(texts)
      : items.map((item) => new SubmittedItem(item, ttlMs));
  const bytes = texts.reduce((sum, text) => sum + text.length, 0);
  await t.storage.append([{ ...chunk, bytes, payload }]);
}

/** A claimed batch of submitted items, and their ids. */
async function submitted(
  t: Fixture,
  worker: Worker,
  queue: number,
  items: readonly unknown[],
): Promise<{ readonly batch: ClaimedBatch; readonly ids: readonly string[] }> {
  await submit(t, queue, items);
  const batch = await worker.claimOne(queue);
  return { batch, ids: itemIds(batch.members) };
}

function done(ids: readonly string[]): Outcome {
  return { kind: "done", results: ids.map((id) => success(id)) };
}

function statuses(found: readonly FoundResult[]): string[] {
  return found.map((one) => (one.status === "finished" ? one.kind : one.status));
}

const KEPT: Cases = {
  "a result is found by the id of its item": async (t) => {
    const queue = await t.queue();
    const worker = await t.worker();
    const { batch, ids } = await submitted(t, worker, queue, [1, 2]);
    const { now } = await worker.exchange(queue);
    const results = [success(ids[0] as string), success(ids[1] as string, null)];
    assert.equal(await worker.settle(batch, { kind: "done", results }), "settled");
    const finished = { status: "finished", kind: "success", error: null } as const;
    const found = await t.storage.findResults(queue, [ids[1] as string, ids[0] as string]);
    assert.deepEqual(
      found.map((one) => ("endedAt" in one ? { ...one, endedAt: one.endedAt >= now } : one)),
      [
        { ...finished, value: null, endedAt: true },
        { ...finished, value: '"ok"', endedAt: true },
      ],
    );
  },

  "values and errors come back as they were": async (t) => {
    const queue = await t.queue();
    const worker = await t.worker();
    const { batch, ids } = await submitted(t, worker, queue, [1, 2]);
    const error = { name: "Error", message: AWKWARD, code: "E\u0000", stack: "at x\n  at y" };
    const [first, second] = ids as [string, string];
    const results: ItemResult[] = [
      success(first, AWKWARD),
      { id: second, kind: "canceled", value: null, error, ttlMs: TTL_MS },
    ];
    await worker.settle(batch, { kind: "done", results });
    const found = await t.storage.findResults(queue, ids);
    assert.deepEqual(
      found.map((one) => ("kind" in one ? [one.kind, one.value, one.error] : one)),
      [
        ["success", AWKWARD, null],
        ["canceled", null, error],
      ],
    );
  },

  "of two results for the same item the first one stays": async (t) => {
    const queue = await t.queue();
    const worker = await t.worker();
    const { batch, ids } = await submitted(t, worker, queue, [1, 2]);
    const [first] = ids as [string, string];
    const results = [success(first, "1"), success(first, "2")];
    await worker.settle(batch, { kind: "done", results });
    await worker.settle(batch, { kind: "done", results: [success(first, "3")] });
    const [found] = await t.storage.findResults(queue, [first]);
    assert.ok(found?.status === "finished");
    assert.equal(found.value, "1");
  },

  "a settlement that does not count keeps no result": async (t) => {
    const queue = await t.queue();
    const worker = await t.worker();
    const { batch, ids } = await submitted(t, worker, queue, [1]);
    await t.crash(worker);
    const other = await t.worker();
    const next = await other.claimOne(queue, { alone: true });
    assert.equal(await worker.settle(batch, done(ids)), "lost");
    assert.deepEqual(await t.storage.findResults(queue, ids), [PENDING]);
    assert.equal(await other.settle(next, done(ids)), "settled");
    assert.deepEqual(statuses(await t.storage.findResults(queue, ids)), ["success"]);
  },

  "a batch with results is as done as one without": async (t) => {
    const queue = await t.queue();
    const worker = await t.worker();
    const { batch, ids } = await submitted(t, worker, queue, [1, 2]);
    assert.equal(await worker.settle(batch, done(ids)), "settled");
    const { leased, waiting, retrying } = await t.storage.counts(queue, null);
    assert.deepEqual([leased, waiting, retrying], [0, 0, 0]);
    const [row] = await t.storage.history({ queue, group: null, before: null, limit: 1 });
    assert.equal(row?.batch, batch.batch);
    assert.equal(row?.error, null);
    // A settlement with results is repeated as any other is.
    assert.equal(await worker.settle(batch, done(ids)), "settled");
  },

  "a group at its limit is free again after a batch with results": async (t) => {
    const queue = await t.queue();
    const worker = await t.worker();
    const claiming = { maxSize: 1, groupConcurrency: 1 };
    await submit(t, queue, [1, 2]);
    const batch = await worker.claimOne(queue, claiming);
    assert.deepEqual(await worker.claim(queue, claiming), []);
    await worker.settle(batch, done(itemIds(batch.members)));
    await worker.claimOne(queue, claiming);
  },

  "a process finds what another one kept": async (t) => {
    const queue = await t.queue();
    const worker = await t.worker();
    const { batch, ids } = await submitted(t, worker, queue, [1]);
    await worker.settle(batch, done(ids));
    const second = await t.second();
    assert.deepEqual(statuses(await second.findResults(queue, ids)), ["success"]);
  },

  "a result is gone after its time, and one for ever is not": async (t) => {
    const queue = await t.queue();
    const worker = await t.worker(t.storage, 10 * TTL_MS);
    const { batch, ids } = await submitted(t, worker, queue, [1, 2]);
    const [short, ever] = ids as [string, string];
    const results = [success(short), success(ever, "1", Number.POSITIVE_INFINITY)];
    await worker.settle(batch, { kind: "done", results });
    await t.pass(TTL_MS - 1);
    assert.deepEqual(statuses(await t.storage.findResults(queue, ids)), ["success", "success"]);
    await t.pass(1);
    assert.deepEqual(statuses(await t.storage.findResults(queue, ids)), ["unknown", "success"]);
    await t.storage.reap(3);
    assert.deepEqual(statuses(await t.storage.findResults(queue, ids)), ["unknown", "success"]);
  },

  "transact keeps results with its effects": async (t) => {
    const queue = await t.queue();
    const worker = await t.worker();
    const { batch, ids } = await submitted(t, worker, queue, [1]);
    await t.storage.transact({ lease: batch, run: () => undefined, outcome: () => done(ids) });
    assert.deepEqual(statuses(await t.storage.findResults(queue, ids)), ["success"]);
  },

  "a transaction that is rolled back keeps no result": async (t) => {
    const queue = await t.queue();
    const worker = await t.worker();
    const { batch, ids } = await submitted(t, worker, queue, [1]);
    await t.crash(worker);
    const run = (): undefined => undefined;
    const transaction = t.storage.transact({ lease: batch, run, outcome: () => done(ids) });
    await rejectsWith(transaction, "LEASE_LOST");
    assert.deepEqual(await t.storage.findResults(queue, ids), [PENDING]);
  },
};

const FATES: Cases = {
  "an item is pending until it ends, whatever happens to its batch": async (t) => {
    const queue = await t.queue();
    const worker = await t.worker();
    await submit(t, queue, [1, 2]);
    const batch = await worker.claimOne(queue);
    const ids = itemIds(batch.members);
    assert.deepEqual(await t.storage.findResults(queue, ids), [PENDING, PENDING]);
    await worker.settle(batch, again(2));
    assert.deepEqual(await t.storage.findResults(queue, ids), [PENDING, PENDING]);
    const next = await worker.claimOne(queue);
    await worker.settle(next, done(ids));
    assert.deepEqual(statuses(await t.storage.findResults(queue, ids)), ["success", "success"]);
  },

  "what nobody submitted is unknown once it ended, and so is what never was": async (t) => {
    const queue = await t.queue();
    const other = await t.queue("other");
    const worker = await t.worker();
    const batch = await t.claimedBatch(worker, queue, [1, 2]);
    const ids = itemIds(batch.members);
    await worker.done([batch]);
    assert.deepEqual(await t.storage.findResults(queue, ids), [UNKNOWN, UNKNOWN]);
    const strange = ["999999:0", "", "x", "1", "1:", "-1:0", "0:0", "1:2:3", "9".repeat(40)];
    const found = await t.storage.findResults(queue, strange);
    assert.deepEqual(
      found,
      strange.map(() => UNKNOWN),
    );
    const { batch: kept, ids: its } = await submitted(t, worker, queue, [3]);
    await worker.settle(kept, done(its));
    assert.deepEqual(await t.storage.findResults(other, its), [UNKNOWN]);
    assert.deepEqual(await t.storage.findResults(queue, []), []);
  },

  "of a split batch each item has its own fate": async (t) => {
    const queue = await t.queue();
    const worker = await t.worker();
    const { batch, ids } = await submitted(t, worker, queue, [1, 2, 3, 4]);
    const child = { positions: [1], attempt: 2, delayMs: 0, error: FAILURE };
    const dead = [
      { position: 3, error: { ...FAILURE, message: "the last" } },
      { position: 2, error: FAILURE },
    ];
    const results = [success(ids[0] as string)];
    const outcome: Outcome = { kind: "split", children: [child], dead, error: FAILURE, results };
    await worker.settle(batch, outcome);
    const found = await t.storage.findResults(queue, ids);
    assert.deepEqual(statuses(found), ["success", "pending", "failed", "failed"]);
    assert.deepEqual(
      found.map((one) => (one.status === "finished" ? one.error : null)),
      [null, null, FAILURE, { ...FAILURE, message: "the last" }],
    );
    const next = await worker.claimOne(queue);
    assert.deepEqual(itemIds(next.members), [ids[1]]);
    await worker.settle(next, done([ids[1] as string]));
    const [second] = await t.storage.findResults(queue, [ids[1] as string]);
    assert.equal(second?.status, "finished");
  },

  "an item that nobody submitted leaves no result when it dies": async (t) => {
    const queue = await t.queue();
    const worker = await t.worker();
    await t.bury(worker, queue, [1, 2]);
    const letters = await t.storage.deadLetters({ queue, group: null, after: 0, limit: 9 });
    const ids = letters.map(({ itemId }) => itemId);
    assert.deepEqual(await t.storage.findResults(queue, ids), [UNKNOWN, UNKNOWN]);
  },

  "what a crash kills has a result with the reason": async (t) => {
    const queue = await t.queue();
    const { ids } = await submitted(t, await t.worker(), queue, [1, 2]);
    await t.pass(LEASE_MS + 1);
    await t.storage.reap(1);
    const alone = await t.worker();
    await alone.claimOne(queue, { alone: true });
    assert.equal(await t.crash(alone, 1), 2);
    const found = await t.storage.findResults(queue, ids);
    assert.deepEqual(statuses(found), ["failed", "failed"]);
    for (const one of found) assert.equal("error" in one && one.error?.code, "CRASHED");
  },

  "a death is kept as long as the item says": async (t) => {
    const queue = await t.queue();
    const worker = await t.worker(t.storage, 10 * TTL_MS);
    const dead = [{ position: 0, error: FAILURE }];
    const outcome: Outcome = { kind: "split", children: [], dead, error: FAILURE };
    await submit(t, queue, [1], TTL_MS);
    const short = await worker.claimOne(queue);
    await worker.settle(short, outcome);
    await submit(t, queue, [2], Number.POSITIVE_INFINITY);
    const ever = await worker.claimOne(queue);
    await worker.settle(ever, outcome);
    const ids = [...itemIds(short.members), ...itemIds(ever.members)];
    await t.pass(TTL_MS - 1);
    assert.deepEqual(statuses(await t.storage.findResults(queue, ids)), ["failed", "failed"]);
    await t.pass(1);
    assert.deepEqual(statuses(await t.storage.findResults(queue, ids)), ["unknown", "failed"]);
  },

  "a redriven item has a result of its own": async (t) => {
    const queue = await t.queue();
    const worker = await t.worker();
    const { batch, ids } = await submitted(t, worker, queue, [1]);
    const dead = [{ position: 0, error: FAILURE }];
    await worker.settle(batch, { kind: "split", children: [], dead, error: FAILURE });
    assert.equal(await t.storage.redrive(queue, "all"), 1);
    const next = await worker.claimOne(queue);
    const [later] = itemIds(next.members) as [string];
    assert.notEqual(later, ids[0]);
    await worker.settle(next, { kind: "split", children: [], dead, error: FAILURE });
    const found = await t.storage.findResults(queue, [...ids, later]);
    assert.deepEqual(statuses(found), ["failed", "failed"]);
  },
};

const PREPARED: Cases = {
  "what a preparation leaves out has the result that it was given": async (t) => {
    const queue = await t.queue();
    const worker = await t.worker();
    const { batch, ids } = await submitted(t, worker, queue, [1, 2]);
    const [out, kept] = ids as [string, string];
    const left: ItemResult = {
      id: out,
      kind: "canceled",
      value: null,
      error: FAILURE,
      ttlMs: TTL_MS,
    };
    const members = await t.storage.prepare(batch, [part(t, ["b"], [kept])], [left]);
    assert.deepEqual(itemIds(members ?? []), [kept]);
    assert.deepEqual(statuses(await t.storage.findResults(queue, ids)), ["canceled", "pending"]);
    assert.equal(await worker.settle(batch, done([kept])), "settled");
    assert.deepEqual(statuses(await t.storage.findResults(queue, ids)), ["canceled", "success"]);
  },

  "a preparation that changes nothing keeps no result": async (t) => {
    const queue = await t.queue();
    const worker = await t.worker();
    const { batch, ids } = await submitted(t, worker, queue, [1]);
    await t.storage.prepare(batch, null);
    await t.storage.prepare(batch, null, [success(ids[0] as string)]);
    assert.deepEqual(await t.storage.findResults(queue, ids), [PENDING]);
    await t.crash(worker);
    const lost = await t.storage.prepare(batch, null, [success(ids[0] as string)]);
    assert.equal(lost, null);
    assert.deepEqual(await t.storage.findResults(queue, ids), [PENDING]);
  },

  "an item is pending while its prepared batch waits": async (t) => {
    const queue = await t.queue();
    const worker = await t.worker();
    const { batch, ids } = await submitted(t, worker, queue, [1, 2]);
    await t.storage.prepare(batch, [part(t, ["b", "a"], ids.toReversed())]);
    await worker.settle(batch, again(2, 1000));
    assert.deepEqual(await t.storage.findResults(queue, ids), [PENDING, PENDING]);
    await t.pass(1000);
    const next = await worker.claimOne(queue);
    await t.crash(worker);
    assert.deepEqual(await t.storage.findResults(queue, ids), [PENDING, PENDING]);
    const alone = await t.worker();
    await alone.claimOne(queue, { alone: true });
    assert.equal(await alone.settle({ ...next, token: next.token + 1 }, done(ids)), "settled");
    assert.deepEqual(statuses(await t.storage.findResults(queue, ids)), ["success", "success"]);
  },
};

export const resultCases: Cases = { ...KEPT, ...FATES, ...PREPARED };
