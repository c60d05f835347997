/** ctx.tx: the handler's writes and the acknowledgement commit together, or neither. */
import assert from "node:assert/strict";

import type { ErrorCode } from "../../core/errors.ts";
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

/** Something that an asynchronous storage has to be waited for. */
type Append = AppendedChunk | Promise<AppendedChunk>;

/** What happens inside a transaction; each append it yields comes back carried out. */
type Steps<R> = (tx: unknown) => Generator<Append, R, AppendedChunk>;

/** Appends one item, due at once, inside the transaction of `tx`. */
function appendIn(t: Fixture, tx: unknown, queue: number, item: unknown): Append {
  const chunks = [t.chunk(queue, [item], { dueInMs: 0 })];
  if (t.traits.transactions === "sync") return t.storage.appendInside(tx, chunks)[0] as Append;
  return t.storage.appendWithin(tx, chunks).then(([chunk]) => chunk as AppendedChunk);
}

/** The steps as the function that the storage runs: synchronous where it has to be. */
function running<R>(t: Fixture, steps: Steps<R>): (tx: unknown) => R | Promise<R> {
  return t.traits.transactions === "sync"
    ? (tx) => {
        const going = steps(tx);
        let step = going.next();
        while (step.done !== true) step = going.next(step.value as AppendedChunk);
        return step.value;
      }
    : async (tx) => {
        const going = steps(tx);
        let step = going.next();
        while (step.done !== true) step = going.next(await step.value);
        return step.value;
      };
}

/** Runs the steps in a transaction that settles the lease as done. */
async function transact<R>(t: Fixture, lease: Lease, steps: Steps<R>): Promise<R> {
  return transactWith(t, lease, running(t, steps));
}

async function transactWith<R>(
  t: Fixture,
  lease: Lease,
  run: (tx: unknown) => R | Promise<R>,
): Promise<R> {
  const { batch, token } = lease;
  return t.storage.transact<R>({ lease: { batch, token }, run, outcome: () => DONE });
}

/** Nothing but the settling. */
// eslint-disable-next-line require-yield -- it has nothing to wait for
function* nothing(): Generator<never, void> {
  return undefined;
}

/** An append that must fail with this code, wherever it does. */
async function refuses(append: () => Append, ...codes: readonly ErrorCode[]): Promise<void> {
  await rejectsWith((async () => append())(), ...codes);
}

export const transactCases: Cases = {
  "the settling commits with the transaction, and the result is passed on": async (t) => {
    const queue = await t.queue();
    const worker = await t.worker();
    const batch = await t.claimedBatch(worker, queue, ["a"]);
    assert.equal(await transactWith(t, batch, () => "result"), "result");
    const { leased, retrying } = await t.storage.counts(queue, null);
    assert.deepEqual({ leased, retrying }, { leased: 0, retrying: 0 });
    assert.deepEqual(await worker.claim(queue), []);
  },

  "items added inside commit with it, and have their ids already": async (t) => {
    const queue = await t.queue();
    const next = await t.queue("next");
    const worker = await t.worker();
    const batch = await t.claimedBatch(worker, queue, ["a"]);
    const added = await transact(t, batch, function* both(tx) {
      return [yield appendIn(t, tx, next, "b"), yield appendIn(t, tx, next, "c")];
    });
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
    const failed = transact(t, batch, function* fails(tx) {
      yield appendIn(t, tx, next, "b");
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
    const failed = transact(t, batch, function* fails(tx) {
      yield appendIn(t, tx, next, "inside");
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
    function* once(tx: unknown): Generator<Append, void, AppendedChunk> {
      yield appendIn(t, tx, next, `try ${++tries}`);
      if (tries === 1) throw new Error("no");
    }
    await assert.rejects(transact(t, batch, once));
    await transact(t, batch, once);
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
    await rejectsWith(transactWith(t, old, run), "LEASE_LOST");
    const current = await two.claimOne(queue);
    await rejectsWith(transactWith(t, old, run), "LEASE_LOST");
    assert.equal(ran, false);
    assert.equal(await two.settle(current, DONE), "settled");
    await rejectsWith(transactWith(t, current, run), "LEASE_LOST");
    assert.equal(ran, false);
  },

  "an owner that was declared dead commits nothing": async (t) => {
    const queue = await t.queue();
    const next = await t.queue("next");
    const zombie = await t.worker();
    const batch = await t.claimedBatch(zombie, queue, ["a"]);
    await t.crash(zombie);
    const late = transact(t, batch, function* late(tx) {
      yield appendIn(t, tx, next, "b");
    });
    await rejectsWith(late, "LEASE_LOST");
    assert.equal((await t.storage.counts(next, null)).waiting, 0);
    assert.equal((await t.storage.counts(queue, null)).retrying, 1);
  },

  "a tx is of no use after its transaction": async (t) => {
    const queue = await t.queue();
    const worker = await t.worker();
    const batch = await t.claimedBatch(worker, queue, ["a"]);
    const kept: unknown[] = [];
    await assert.rejects(
      transactWith(t, batch, (tx) => {
        kept.push(tx);
        throw new Error("no");
      }),
    );
    await transactWith(t, batch, (tx) => kept.push(tx));
    assert.equal(kept.length, 2);
    for (const tx of kept) await refuses(() => appendIn(t, tx, queue, "late"), "TX_OVER");
    assert.equal((await t.storage.counts(queue, null)).waiting, 0);
  },

  "what is no transaction of this storage is refused": async (t) => {
    const queue = await t.queue();
    for (const tx of [undefined, null, 1, "tx", {}, { exec: () => undefined }]) {
      await refuses(() => appendIn(t, tx, queue, "a"), "TX_MISMATCH", "TX_UNSUPPORTED");
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
      run: running(t, function* added(tx) {
        yield appendIn(t, tx, queue, "b");
      }),
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
    await transact(t, batch, nothing);
    assert.equal(await worker.settle(batch, DONE), "settled");
  },

  "items added inside keep their order with those added around it": async (t) => {
    const queue = await t.queue();
    const next = await t.queue("next");
    const worker = await t.worker();
    await t.add(next, numbers(2));
    const batch = await t.claimedBatch(worker, queue, ["a"]);
    await transact(t, batch, function* two(tx) {
      yield appendIn(t, tx, next, 2);
      yield appendIn(t, tx, next, 3);
    });
    await t.add(next, numbers(2, 4));
    assert.deepEqual(contents(await worker.claim(next)), [numbers(6)]);
  },
};

/** Storages on which everything in a transaction happens before the function returns. */
export const syncCases: Cases = {
  "a function that returns a promise is rolled back": async (t) => {
    const queue = await t.queue();
    const next = await t.queue("next");
    const worker = await t.worker();
    const batch = await t.claimedBatch(worker, queue, ["a"]);
    let late: unknown = null;
    const run = async (tx: unknown): Promise<void> => {
      void appendIn(t, tx, next, "before the await");
      await Promise.resolve();
      try {
        void appendIn(t, tx, next, "after the await");
      } catch (error) {
        late = error;
      }
    };
    await rejectsWith(transactWith(t, batch, run), "TX_ASYNC");
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
      const failed = transactWith(t, batch, async () => {
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
};

/** Storages on which a transaction waits for its function. */
export const asyncCases: Cases = {
  "the transaction is open until the function's promise is settled": async (t) => {
    const queue = await t.queue();
    const next = await t.queue("next");
    const worker = await t.worker();
    const batch = await t.claimedBatch(worker, queue, ["a"]);
    await transactWith(t, batch, async (tx) => {
      await appendIn(t, tx, next, "before");
      await t.pass(10);
      assert.equal((await t.storage.counts(next, null)).waiting, 0, "nobody sees it yet");
      await appendIn(t, tx, next, "after");
    });
    assert.deepEqual(contents(await worker.claim(next)), [["before", "after"]]);
    assert.deepEqual(await worker.claim(queue), []);
  },

  "a rejection rolls back what was added before it": async (t) => {
    const queue = await t.queue();
    const next = await t.queue("next");
    const worker = await t.worker();
    const batch = await t.claimedBatch(worker, queue, ["a"]);
    const failure = new RangeError("late");
    const failed = transactWith(t, batch, async (tx) => {
      await appendIn(t, tx, next, "b");
      await t.pass(10);
      throw failure;
    });
    await assert.rejects(failed, (error) => error === failure);
    assert.equal((await t.storage.counts(next, null)).waiting, 0);
    assert.equal(await worker.settle(batch, DONE), "settled");
  },

  "an owner that is declared dead while its function runs commits nothing": async (t) => {
    const queue = await t.queue();
    const next = await t.queue("next");
    const zombie = await t.worker();
    const batch = await t.claimedBatch(zombie, queue, ["a"]);
    const late = transactWith(t, batch, async (tx) => {
      await appendIn(t, tx, next, "b");
      await t.crash(zombie);
    });
    await rejectsWith(late, "LEASE_LOST");
    assert.equal((await t.storage.counts(next, null)).waiting, 0);
    assert.equal((await t.storage.counts(queue, null)).retrying, 1);
  },

  "an open transaction holds up nobody else's items of the same group": async (t) => {
    const queue = await t.queue();
    const next = await t.queue("next");
    const worker = await t.worker();
    const batch = await t.claimedBatch(worker, queue, ["a"]);
    await transactWith(t, batch, async (tx) => {
      await appendIn(t, tx, next, "inside");
      await t.add(next, ["outside"], { dueInMs: 0 });
      const claimed = await worker.claim(next);
      assert.deepEqual(contents(claimed), [["outside"]]);
      await worker.done(claimed);
    });
    assert.deepEqual(contents(await worker.claim(next)), [["inside"]]);
  },

  "nothing is written before the call returns, so that is refused": async (t) => {
    const queue = await t.queue();
    const chunks = [t.chunk(queue, ["a"])];
    throwsWith(() => t.storage.appendInside({}, chunks), "TX_UNSUPPORTED", "TX_MISMATCH");
    assert.equal((await t.storage.counts(queue, null)).waiting, 0);
  },
};
