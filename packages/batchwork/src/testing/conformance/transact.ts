/** ctx.tx: the handler's writes and the acknowledgement commit together, or neither. */
import assert from "node:assert/strict";

import type { Lease } from "../../core/lease.ts";
import type { Outcome } from "../../core/settle.ts";
import type { AppendedChunk } from "../../storage/storage.ts";
import {
  children,
  contents,
  DONE,
  items,
  numbers,
  rejectsWith,
  throwsWith,
  type Cases,
  type Fixture,
} from "./fixture.ts";

/** Appends one item, due at once, inside the transaction of `tx`. */
function appendIn(t: Fixture, tx: unknown, queue: number, item: unknown): AppendedChunk {
  const [chunk] = t.storage.appendInside(tx, [t.chunk(queue, [item], { dueInMs: 0 })]);
  return chunk as AppendedChunk;
}

/** Runs `run` in a transaction that settles the lease as done. */
async function transact<R>(t: Fixture, lease: Lease, run: (tx: unknown) => R): Promise<R> {
  const { batch, token } = lease;
  return t.storage.transact<R>({ lease: { batch, token }, run, outcome: () => DONE });
}

export const transactCases: Cases = {
  "the settling commits with the transaction, and the result is passed on": async (t) => {
    const queue = await t.queue();
    const worker = await t.worker();
    const batch = await t.claimedBatch(worker, queue, ["a"]);
    assert.equal(await transact(t, batch, () => "result"), "result");
    const { leased, retrying } = await t.storage.counts(queue, null);
    assert.deepEqual({ leased, retrying }, { leased: 0, retrying: 0 });
    assert.deepEqual(await worker.claim(queue), []);
  },

  "items added inside commit with it, and have their ids already": async (t) => {
    const queue = await t.queue();
    const next = await t.queue("next");
    const worker = await t.worker();
    const batch = await t.claimedBatch(worker, queue, ["a"]);
    const added = await transact(t, batch, (tx) => [
      appendIn(t, tx, next, "b"),
      appendIn(t, tx, next, "c"),
    ]);
    const follow = await worker.claimOne(next);
    assert.deepEqual(items(follow), ["b", "c"]);
    assert.deepEqual(
      follow.members.map(({ chunk }) => chunk),
      added.map(({ id }) => id),
    );
    assert.deepEqual(
      added.map(({ dueAt }) => dueAt),
      [follow.sealedAt, follow.sealedAt],
    );
  },

  "a throw rolls back what was added, and the batch is still leased": async (t) => {
    const queue = await t.queue();
    const next = await t.queue("next");
    const worker = await t.worker();
    const batch = await t.claimedBatch(worker, queue, ["a"]);
    const failure = new TypeError("no");
    const failed = transact(t, batch, (tx) => {
      appendIn(t, tx, next, "b");
      throw failure;
    });
    await assert.rejects(failed, (error) => error === failure);
    assert.equal((await t.storage.counts(next, null)).waiting, 0);
    assert.deepEqual(await worker.claim(next), []);
    assert.deepEqual(await worker.claim(queue), [], "nobody else gets it");
    assert.equal(await worker.settle(batch, DONE), "settled");
  },

  "a rollback undoes nothing else": async (t) => {
    const queue = await t.queue();
    const next = await t.queue("next");
    const worker = await t.worker();
    const batch = await t.claimedBatch(worker, queue, ["a"]);
    await t.add(next, ["before"], { dueInMs: 0 });
    const failed = transact(t, batch, (tx) => {
      appendIn(t, tx, next, "inside");
      throw new Error("no");
    });
    await assert.rejects(failed);
    await t.add(next, ["after"], { dueInMs: 0 });
    assert.deepEqual(contents(await worker.claim(next)), [["before", "after"]]);
  },

  "a transaction that was rolled back may be tried again under the same lease": async (t) => {
    const queue = await t.queue();
    const next = await t.queue("next");
    const worker = await t.worker();
    const batch = await t.claimedBatch(worker, queue, ["a"]);
    let tries = 0;
    const run = (tx: unknown): void => {
      appendIn(t, tx, next, `try ${++tries}`);
      if (tries === 1) throw new Error("no");
    };
    await assert.rejects(transact(t, batch, run));
    await transact(t, batch, run);
    assert.deepEqual(contents(await worker.claim(next)), [["try 2"]]);
  },

  "a superseded lease never gets to run": async (t) => {
    const queue = await t.queue();
    const [one, two] = [await t.worker(), await t.worker()];
    const old = await t.claimedBatch(one, queue, ["a"]);
    await t.storage.release([old]);
    let ran = false;
    const run = (): void => {
      ran = true;
    };
    await rejectsWith(transact(t, old, run), "LEASE_LOST");
    const current = await two.claimOne(queue);
    await rejectsWith(transact(t, old, run), "LEASE_LOST");
    assert.equal(ran, false);
    assert.equal(await two.settle(current, DONE), "settled");
    await rejectsWith(transact(t, current, run), "LEASE_LOST");
    assert.equal(ran, false);
  },

  "an owner that was declared dead commits nothing": async (t) => {
    const queue = await t.queue();
    const next = await t.queue("next");
    const zombie = await t.worker();
    const batch = await t.claimedBatch(zombie, queue, ["a"]);
    await t.crash(zombie);
    await rejectsWith(
      transact(t, batch, (tx) => appendIn(t, tx, next, "b")),
      "LEASE_LOST",
    );
    assert.equal((await t.storage.counts(next, null)).waiting, 0);
    assert.equal((await t.storage.counts(queue, null)).retrying, 1);
  },

  "a function that returns a promise is rolled back": async (t) => {
    const queue = await t.queue();
    const next = await t.queue("next");
    const worker = await t.worker();
    const batch = await t.claimedBatch(worker, queue, ["a"]);
    let late: unknown = null;
    const run = async (tx: unknown): Promise<void> => {
      appendIn(t, tx, next, "before the await");
      await Promise.resolve();
      try {
        appendIn(t, tx, next, "after the await");
      } catch (error) {
        late = error;
      }
    };
    await rejectsWith(transact(t, batch, run), "TX_ASYNC");
    await t.pass(0);
    assert.equal((await t.storage.counts(next, null)).waiting, 0);
    throwsWith(() => {
      throw late;
    }, "TX_OVER");
    assert.equal(await worker.settle(batch, DONE), "settled");
  },

  "a promise that fails after its transaction was refused is nobody's unhandled rejection": async (
    t,
  ) => {
    const queue = await t.queue();
    const worker = await t.worker();
    const batch = await t.claimedBatch(worker, queue, ["a"]);
    const unhandled: unknown[] = [];
    const listener = (error: unknown): void => {
      unhandled.push(error);
    };
    process.on("unhandledRejection", listener);
    try {
      const failed = transact(t, batch, async () => {
        await Promise.resolve();
        throw new Error("late");
      });
      await rejectsWith(failed, "TX_ASYNC");
      await t.pass(0);
      await t.pass(0);
    } finally {
      process.off("unhandledRejection", listener);
    }
    assert.deepEqual(unhandled, []);
  },

  "a tx is of no use after its transaction": async (t) => {
    const queue = await t.queue();
    const worker = await t.worker();
    const batch = await t.claimedBatch(worker, queue, ["a"]);
    const kept: unknown[] = [];
    await assert.rejects(
      transact(t, batch, (tx) => {
        kept.push(tx);
        throw new Error("no");
      }),
    );
    await transact(t, batch, (tx) => kept.push(tx));
    assert.equal(kept.length, 2);
    for (const tx of kept) throwsWith(() => appendIn(t, tx, queue, "late"), "TX_OVER");
    assert.equal((await t.storage.counts(queue, null)).waiting, 0);
  },

  "what is no transaction of this storage is refused": async (t) => {
    const queue = await t.queue();
    for (const tx of [undefined, null, 1, "tx", {}, { exec: () => undefined }]) {
      throwsWith(() => appendIn(t, tx, queue, "a"), "TX_MISMATCH", "TX_UNSUPPORTED");
    }
    assert.equal((await t.storage.counts(queue, null)).waiting, 0);
  },

  "the outcome is asked for after the function, and carried out": async (t) => {
    const queue = await t.queue();
    const worker = await t.worker();
    const batch = await t.claimedBatch(worker, queue, ["a", "b", "c"]);
    let outcome: Outcome = DONE;
    await t.storage.transact({
      lease: { batch: batch.batch, token: batch.token },
      run: () => {
        outcome = children([[1]]);
      },
      outcome: () => outcome,
    });
    assert.deepEqual(contents(await worker.claim(queue)), [["b"]]);
  },

  "a throw while the outcome is worked out rolls everything back": async (t) => {
    const queue = await t.queue();
    const worker = await t.worker();
    const batch = await t.claimedBatch(worker, queue, ["a"]);
    const failed = t.storage.transact({
      lease: { batch: batch.batch, token: batch.token },
      run: (tx: unknown) => appendIn(t, tx, queue, "b"),
      outcome: () => {
        throw new RangeError("no outcome");
      },
    });
    await assert.rejects(failed, RangeError);
    assert.equal((await t.storage.counts(queue, null)).waiting, 0);
    assert.equal(await worker.settle(batch, DONE), "settled");
  },

  "a settlement that repeats what the transaction did is answered as settled": async (t) => {
    const queue = await t.queue();
    const worker = await t.worker();
    const batch = await t.claimedBatch(worker, queue, ["a"]);
    await transact(t, batch, () => undefined);
    assert.equal(await worker.settle(batch, DONE), "settled");
  },

  "items added inside keep their order with those added around it": async (t) => {
    const queue = await t.queue();
    const next = await t.queue("next");
    const worker = await t.worker();
    await t.add(next, numbers(2));
    const batch = await t.claimedBatch(worker, queue, ["a"]);
    await transact(t, batch, (tx) => {
      appendIn(t, tx, next, 2);
      appendIn(t, tx, next, 3);
    });
    await t.add(next, numbers(2, 4));
    assert.deepEqual(contents(await worker.claim(next)), [numbers(6)]);
  },
};
