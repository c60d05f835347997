/** Idempotency keys inside transactions that somebody holds open. */
import assert from "node:assert/strict";

import type { KeyedAnswer } from "../../core/keyed.ts";
import { contents, DONE, rejectsWith, type Cases, type Fixture, type Worker } from "./fixture.ts";
import { addKeyed, idsOf, isHeld, keyedAppend, TTL_MS, type Keyed } from "./keyed-fixture.ts";

/** Appends calls, one after the other, in a transaction that settles a batch; then `end`s it. */
async function inTransaction(
  t: Fixture,
  worker: Worker,
  calls: readonly { readonly queue: number; readonly call: Keyed }[],
  end: () => void = () => undefined,
): Promise<KeyedAnswer[]> {
  const trigger = await t.queue("trigger");
  const { batch, token } = await t.claimedBatch(worker, trigger, ["go"]);
  const answers: KeyedAnswer[] = [];
  const requests = calls.map(({ queue, call }) =>
    keyedAppend(queue, [call], {}, t.storage.payload),
  );
  const sync = (tx: unknown): void => {
    for (const request of requests) answers.push(...t.storage.appendKeyedInside(tx, request));
    end();
  };
  const async = async (tx: unknown): Promise<void> => {
    for (const request of requests) {
      answers.push(...(await t.storage.appendKeyedWithin(tx, request)));
    }
    end();
  };
  await t.storage.transact<unknown>({
    lease: { batch, token },
    run: t.traits.transactions === "sync" ? sync : async,
    outcome: () => DONE,
  });
  return answers;
}

export const keysInsideCases: Cases = {
  "the keys are held with the transaction, and its items are delivered": async (t) => {
    const queue = await t.queue();
    const worker = await t.worker();
    const answers = await inTransaction(t, worker, [{ queue, call: [["a", 1]] }]);
    const [id] = answers.flatMap(idsOf);
    assert.deepEqual(await addKeyed(t, queue, [["a", 1]]), [`=${id}`]);
    const claimed = await worker.claim(queue);
    assert.deepEqual(contents(claimed), [[1]]);
    await worker.done(claimed);
    await t.pass(TTL_MS - 1);
    assert.ok(await isHeld(t, queue, "a"));
    await t.pass(1);
    assert.ok(!(await isHeld(t, queue, "a")));
  },

  "a transaction that is rolled back holds no keys": async (t) => {
    const queue = await t.queue();
    const worker = await t.worker();
    const failure = new Error("no");
    const failed = inTransaction(t, worker, [{ queue, call: [["a", 1]] }], () => {
      throw failure;
    });
    await assert.rejects(failed, (error) => error === failure);
    assert.ok(!(await isHeld(t, queue, "a")));
    const [id] = await addKeyed(t, queue, [["a", "other"]]);
    assert.ok(!id?.startsWith("="));
  },

  "a repeat inside the transaction is one of the item it added": async (t) => {
    const queue = await t.queue();
    const other = await t.queue("other");
    const worker = await t.worker();
    const [first, repeat, refused, elsewhere] = await inTransaction(t, worker, [
      { queue, call: [["a", 1]] },
      {
        queue,
        call: [
          ["a", 1],
          ["b", 2],
        ],
      },
      {
        queue,
        call: [
          ["c", 3],
          ["a", "other"],
        ],
      },
      { queue: other, call: [["a", "of another kind"]] },
    ]);
    const [id] = idsOf(first);
    assert.equal(idsOf(repeat)[0], `=${id}`);
    assert.deepEqual(refused, { kind: "conflict", key: "a" });
    assert.ok(!idsOf(elsewhere)[0]?.startsWith("="));
    assert.deepEqual(contents(await worker.claim(queue)), [[1, 2]]);
    assert.ok(!(await isHeld(t, queue, "c")));
  },

  "a key from before the transaction is held inside it": async (t) => {
    const queue = await t.queue();
    const worker = await t.worker();
    const [id] = await addKeyed(t, queue, [["a", 1]]);
    const answers = await inTransaction(t, worker, [{ queue, call: [["a", 1]] }]);
    assert.deepEqual(answers.flatMap(idsOf), [`=${id}`]);
    assert.deepEqual(contents(await worker.claim(queue)), [[1]]);
  },

  "no transaction, no append": async (t) => {
    const queue = await t.queue();
    const request = keyedAppend(queue, [[["a", 1]]], {}, t.storage.payload);
    const append = t.storage.appendKeyedWithin({}, request);
    await rejectsWith(append, "TX_MISMATCH", "TX_UNSUPPORTED");
    assert.ok(!(await isHeld(t, queue, "a")));
  },
};
