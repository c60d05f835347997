/** Cancelling tasks: exactly one of the end of a task and its cancellation wins. */
import assert from "node:assert/strict";

import { FAILURE, numbers, sorted, WAIT_MS, type Cases, type Fixture } from "./fixture.ts";
import {
  enqueue,
  find,
  ids,
  pool,
  succeeded,
  tasks,
  TaskWorker,
  told,
  values,
  type TestPool,
} from "./pool-fixture.ts";

async function cancel(t: Fixture, { queue }: TestPool, ...names: string[]): Promise<string[]> {
  return t.storage.pools.cancel(queue, names);
}

/** What the storage says of cancelled tasks, in order of their ids. */
async function toldEnded(t: Fixture, emails: TestPool): Promise<unknown[]> {
  const ended = (await told(t, emails)) as { readonly ended: string }[];
  return ended.toSorted((a, b) => a.ended.localeCompare(b.ended));
}

/** A task as it is stored. */
function stored(t: Fixture, task: unknown): unknown {
  return t.storage.payload === "text" ? JSON.stringify(task) : task;
}

export const poolCancelCases: Cases = {
  "a waiting task that is cancelled never starts": async (t) => {
    const emails = await pool(t);
    const chunk = await enqueue(t, emails, numbers(5));
    assert.deepEqual(await cancel(t, emails, `${chunk}:1`, `${chunk}:3`), ["canceled", "canceled"]);
    const worker = await TaskWorker.enroll(t);
    const claimed = await worker.claim(emails);
    assert.deepEqual(tasks(claimed), [0, 2, 4]);
    await worker.done(claimed);
    const found = await find(t, emails, `${chunk}:1`);
    assert.deepEqual([found.status, "kind" in found && found.kind], ["finished", "canceled"]);
  },

  "a delayed task is cancelled as well, and one that waits for another attempt": async (t) => {
    const emails = await pool(t);
    const delayed = await enqueue(t, emails, ["later"], { delayMs: WAIT_MS, serialKey: "k" });
    const worker = await TaskWorker.enroll(t);
    const chunk = await enqueue(t, emails, ["again"]);
    const slice = await worker.claimOne(emails);
    const again = [{ indices: [0], attempt: 2, delayMs: WAIT_MS }];
    await worker.settle(succeeded(slice, [], { again }));
    const answers = await cancel(t, emails, `${delayed}:0`, `${chunk}:0`);
    assert.deepEqual(answers, ["canceled", "canceled"]);
    await t.pass(WAIT_MS);
    const { claimed, nextAt } = await worker.exchange(emails);
    assert.deepEqual([claimed, nextAt], [[], null]);
    assert.equal((await t.storage.pools.counts(emails.queue)).keys, 0);
  },

  "the callback of a cancelled task is told what it was": async (t) => {
    const emails = await pool(t);
    const chunk = await enqueue(t, emails, ["a", "b"]);
    await cancel(t, emails, `${chunk}:0`, `${chunk}:1`);
    const canceled = { kind: "canceled", error: null };
    assert.deepEqual(await toldEnded(t, emails), [
      { ended: `${chunk}:0`, ...canceled, task: stored(t, "a") },
      { ended: `${chunk}:1`, ...canceled, task: stored(t, "b") },
    ]);
  },

  "a running task is over at once, and its process is told until it settles it": async (t) => {
    const emails = await pool(t);
    await enqueue(t, emails, numbers(3));
    const worker = await TaskWorker.enroll(t);
    const slice = await worker.claimOne(emails);
    const [, id] = ids(slice) as [string, string];
    const other = await t.second();
    assert.deepEqual(await other.pools.cancel(emails.queue, [id]), ["canceling"]);
    const found = await find(t, emails, id);
    assert.deepEqual([found.status, "kind" in found && found.kind], ["finished", "canceled"]);
    const { batch, token } = slice;
    const canceled = [{ batch, token, indices: [1] }];
    assert.deepEqual((await worker.settle()).canceled, canceled);
    assert.deepEqual((await worker.settle()).canceled, canceled, "until it is settled");
    assert.equal((await t.storage.pools.counts(emails.queue)).running, 3, "it holds its place");
    assert.equal((await t.storage.pools.counts(emails.queue)).canceling, 1);
    const callbacks = { indices: [0, 1], payload: values(t, ["zero", "one"]) };
    const answer = await worker.settle(
      succeeded(slice, [0, 1], { callbacks, values: values(t, ["v0", "v1"]) }),
    );
    assert.deepEqual([answer.settled, answer.canceled], [["settled"], canceled]);
    assert.deepEqual((await worker.settle()).canceled, []);
    assert.equal((await t.storage.pools.counts(emails.queue)).running, 1);
    const after = await find(t, emails, id);
    assert.equal("kind" in after && after.kind, "canceled", "the outcome did not count");
    const zero = await find(t, emails, (ids(slice) as [string])[0]);
    assert.deepEqual("value" in zero && zero.value, values(t, ["v0"]));
    const items = await told(t, emails);
    assert.equal(items.length, 2, "each was told of once");
    assert.ok(items.includes("zero"));
  },

  "a cancelled task that fails is neither tried again nor dead": async (t) => {
    const emails = await pool(t);
    await enqueue(t, emails, numbers(2));
    const worker = await TaskWorker.enroll(t);
    const slice = await worker.claimOne(emails);
    await cancel(t, emails, ...ids(slice));
    const again = [{ indices: [0], attempt: 2, delayMs: 0 }];
    await worker.settle(succeeded(slice, [], { again, dead: [{ index: 1, error: FAILURE }] }));
    const { waiting, running, dead } = await t.storage.pools.counts(emails.queue);
    assert.deepEqual([waiting, running, dead], [0, 0, 0]);
  },

  "a task that ended is not cancelled": async (t) => {
    const emails = await pool(t);
    await enqueue(t, emails, numbers(2));
    const worker = await TaskWorker.enroll(t);
    const slice = await worker.claimOne(emails);
    await worker.settle(succeeded(slice, [0]));
    assert.deepEqual(await cancel(t, emails, ...ids(slice)), ["finished", "canceling"]);
    const found = await find(t, emails, (ids(slice) as [string])[0]);
    assert.equal("kind" in found && found.kind, "success");
    assert.equal((await told(t, emails)).length, 1);
  },

  "cancelled twice is told of once": async (t) => {
    const emails = await pool(t);
    const chunk = await enqueue(t, emails, numbers(2));
    const [one, two] = [`${chunk}:0`, `${chunk}:1`];
    assert.deepEqual(await cancel(t, emails, one, one), ["canceled", "finished"]);
    assert.deepEqual(await cancel(t, emails, one), ["finished"]);
    const worker = await TaskWorker.enroll(t);
    await worker.claimOne(emails);
    assert.deepEqual(await cancel(t, emails, two, two), ["canceling", "finished"]);
    assert.deepEqual(await cancel(t, emails, two), ["finished"]);
    assert.equal((await told(t, emails)).length, 2);
  },

  "what is no task of the pool is not cancelled": async (t) => {
    const emails = await pool(t);
    const other = await pool(t, "other");
    const chunk = await enqueue(t, other, [1]);
    const names = [`${chunk}:0`, `${chunk}:7`, "nonsense", "99999:0"];
    assert.deepEqual(
      await cancel(t, emails, ...names),
      names.map(() => "unknown"),
    );
    const worker = await TaskWorker.enroll(t);
    assert.deepEqual(tasks(await worker.claim(other)), [1]);
  },

  "cancelled tasks do not go on when their slice is given back or its process dies": async (t) => {
    const emails = await pool(t);
    await enqueue(t, emails, numbers(3));
    await enqueue(t, emails, ["gone"]);
    const worker = await TaskWorker.enroll(t);
    const slices = await worker.claim(emails);
    const [slice, gone] = slices as [(typeof slices)[number], (typeof slices)[number]];
    await cancel(t, emails, `${slice.chunk}:0`, ...ids(gone));
    await worker.storage.pools.release([slice, gone]);
    const again = await worker.claimOne(emails);
    assert.deepEqual(tasks([again]), [1, 2]);
    await cancel(t, emails, `${slice.chunk}:2`);
    await worker.crash(t);
    const fresh = await TaskWorker.enroll(t);
    const claimed = await fresh.claim(emails, { alone: true });
    assert.deepEqual(tasks(claimed), [1]);
    assert.deepEqual((await fresh.settle()).canceled, []);
  },

  "cancelling frees the key, and nothing else of it": async (t) => {
    const emails = await pool(t);
    const chunk = await enqueue(t, emails, ["a1", "a2", "a3"], { serialKey: "a" });
    const worker = await TaskWorker.enroll(t);
    const caps = { concurrencyPerKey: 1 };
    const first = await worker.claimOne(emails, caps);
    await cancel(t, emails, `${chunk}:1`, `${chunk}:0`);
    assert.deepEqual(await worker.claim(emails, caps), [], "a1 goes on to hold its place");
    await worker.done([first]);
    assert.deepEqual(tasks(await worker.claim(emails, caps)), ["a3"]);
  },

  "cancelAll cancels everything, a bounded step at a time": async (t) => {
    const emails = await pool(t);
    await enqueue(t, emails, numbers(5));
    await enqueue(t, emails, numbers(5, 5), { delayMs: WAIT_MS });
    await enqueue(t, emails, numbers(5, 10), { serialKey: "k" });
    const worker = await TaskWorker.enroll(t);
    const running = await worker.claimOne(emails, { limit: 1 });
    let total = 0;
    for (let steps = 0; steps < 10; steps++) {
      const { canceled, more } = await t.storage.pools.cancelAll(emails.queue, 2);
      total += canceled;
      if (!more) break;
    }
    assert.equal(total, 15);
    assert.equal((await t.storage.pools.cancelAll(emails.queue, 2)).canceled, 0);
    const { waiting, delayed, canceling } = await t.storage.pools.counts(emails.queue);
    assert.deepEqual([waiting, delayed, canceling], [0, 0, 1]);
    await worker.done([running]);
    assert.equal((await told(t, emails)).length, 15);
  },

  "cancelAll sees what no claim has seen, and not what comes later": async (t) => {
    const emails = await pool(t);
    await enqueue(t, emails, numbers(3));
    assert.equal((await t.storage.pools.cancelAll(emails.queue, 100)).canceled, 3);
    await enqueue(t, emails, ["later"]);
    const worker = await TaskWorker.enroll(t);
    assert.deepEqual(tasks(await worker.claim(emails)), ["later"]);
  },

  "the key of a cancelled task is held for a while only": async (t) => {
    const emails = await pool(t);
    const header = { queue: emails.queue, group: "0:", dueInMs: WAIT_MS, keyTtlMs: WAIT_MS };
    const value = t.storage.payload === "text" ? JSON.stringify("once") : "once";
    const item = { call: 0, chunk: 0, key: "k", digest: "d", value, bytes: 6 };
    const request = { chunks: [header], items: [item] };
    const [stored1] = await t.storage.appendKeyed(request);
    assert.ok(stored1?.kind === "stored");
    const { chunk, index } = stored1.places[0] as { chunk: number; index: number };
    assert.deepEqual(await cancel(t, emails, `${chunk}:${index}`), ["canceled"]);
    await t.pass(WAIT_MS);
    const [stored2] = await t.storage.appendKeyed(request);
    assert.equal(stored2?.kind === "stored" && stored2.places[0]?.duplicate, false);
  },

  "of many cancelled and settled at once, each ends once": async (t) => {
    const emails = await pool(t);
    const chunk = await enqueue(t, emails, numbers(200));
    const other = await t.second();
    const worker = await TaskWorker.enroll(t);
    const slices = await worker.claim(emails, { limit: 120 });
    const names = numbers(200).map((n) => `${chunk}:${n}`);
    const [answers, settled] = await Promise.all([
      other.pools.cancel(emails.queue, names),
      worker.settle(
        ...slices.map((slice) => {
          const payload = values(t, slice.indices);
          return succeeded(slice, slice.indices, {
            callbacks: { indices: slice.indices, payload },
          });
        }),
      ),
    ]);
    const overruled = new Set(settled.canceled.flatMap(({ indices }) => indices));
    const found = await t.storage.pools.findTasks(emails.queue, names);
    for (const [n, answer] of answers.entries()) {
      const end = found[n];
      const kind = end?.status === "finished" ? end.kind : "none";
      const wasCanceled = answer === "canceled" || answer === "canceling";
      assert.equal(kind, wasCanceled ? "canceled" : "success", names[n]);
      if (n < 120) assert.equal(overruled.has(n), answer === "canceling");
    }
    const items = await told(t, emails);
    const named = items.map((item) =>
      typeof item === "number" ? `${chunk}:${item}` : (item as { ended: string }).ended,
    );
    assert.deepEqual(sorted(named), sorted(names), "each was told of once");
  },
};
