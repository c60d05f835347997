/** Loops in transactions: a step commits with what was done, and no ping is lost. */
import assert from "node:assert/strict";

import type { LoopPing, LoopRow, LoopStep, PingAnswer, StepAnswer } from "../../storage/loops.ts";
import { rejectsWith, throwsWith, type Cases, type Fixture, type Worker } from "./fixture.ts";
import { claimLoop, claimLoops, looking, newLoop, resting, stepOf } from "./loop-fixture.ts";

/** Pings inside the transaction of `tx`, as the storage allows. */
function pingIn(
  t: Fixture,
  tx: unknown,
  ...pings: readonly LoopPing[]
): PingAnswer[] | Promise<PingAnswer[]> {
  return t.traits.transactions === "sync"
    ? t.storage.loops.pingInside(tx, pings)
    : t.storage.loops.pingWithin(tx, pings);
}

/** A loop that is idle. */
async function idleLoop(
  t: Fixture,
  part: string,
  wakeInMs: number | null = null,
): Promise<{ readonly worker: Worker; readonly loop: LoopRow }> {
  const worker = await t.worker();
  await t.storage.loops.create([newLoop(part)]);
  const loop = await claimLoop(t, worker);
  const transacted = await looking(t, loop, resting(loop, wakeInMs));
  assert.equal(transacted?.answer?.status, "idle");
  return { worker, loop };
}

export const loopInsideCases: Cases = {
  "a step commits with the transaction, and the result is passed on": async (t) => {
    const worker = await t.worker();
    const queue = await t.queue();
    await t.storage.loops.create([newLoop("a")]);
    const loop = await claimLoop(t, worker);
    const chunks = [t.chunk(queue, ["inside"], { dueInMs: 0 })];
    const transacted = await looking(t, loop, stepOf(loop, { cursor: "1" }), (tx) => {
      return t.traits.transactions === "sync"
        ? t.storage.appendInside(tx, chunks).length
        : t.storage.appendWithin(tx, chunks).then(({ length }) => length);
    });
    assert.equal(transacted?.result, 1);
    assert.deepEqual([transacted.answer?.result, transacted.answer?.owned], ["written", false]);
    assert.equal((await t.storage.loops.get([loop]))[0]?.cursor, "1");
    assert.equal((await t.storage.counts(queue, null)).waiting, 1);
  },

  "what throws inside takes the step along": async (t) => {
    const worker = await t.worker();
    const queue = await t.queue();
    await t.storage.loops.create([newLoop("a")]);
    const loop = await claimLoop(t, worker);
    const chunks = [t.chunk(queue, ["inside"])];
    const failure = new RangeError("no");
    const failed = looking(t, loop, stepOf(loop, { cursor: "1" }), (tx): unknown => {
      if (t.traits.transactions === "async") {
        return t.storage.appendWithin(tx, chunks).then(() => {
          throw failure;
        });
      }
      t.storage.appendInside(tx, chunks);
      throw failure;
    });
    await assert.rejects(failed, (error) => error === failure);
    assert.equal((await t.storage.loops.get([loop]))[0]?.cursor, null);
    assert.equal((await t.storage.counts(queue, null)).waiting, 0);
    const [answer] = await t.storage.loops.advance([stepOf(loop)]);
    assert.equal(answer?.result, "written", "it is still owned");
  },

  "without a step only what was done commits": async (t) => {
    const worker = await t.worker();
    await t.storage.loops.create([newLoop("a")]);
    const loop = await claimLoop(t, worker);
    const transacted = await looking(t, loop, null, () => "result");
    assert.deepEqual(transacted, { result: "result", answer: null });
    assert.equal((await t.storage.loops.get([loop]))[0]?.step, 0);
  },

  "a step that is not the next takes the transaction along": async (t) => {
    const worker = await t.worker();
    const queue = await t.queue();
    await t.storage.loops.create([newLoop("a")]);
    const loop = await claimLoop(t, worker);
    const chunks = [t.chunk(queue, ["inside"])];
    const failed = looking(t, loop, { ...stepOf(loop), step: 5 }, (tx): unknown => {
      return t.traits.transactions === "sync"
        ? t.storage.appendInside(tx, chunks)
        : t.storage.appendWithin(tx, chunks);
    });
    await rejectsWith(failed, "LEASE_LOST");
    assert.equal((await t.storage.counts(queue, null)).waiting, 0);
  },

  "a loop becomes idle only in a transaction that confirmed it": async (t) => {
    const worker = await t.worker();
    await t.storage.loops.create([newLoop("a")]);
    const loop = await claimLoop(t, worker);
    await rejectsWith(t.storage.loops.advance([resting(loop)]), "OPTION_INVALID");
    const lease = { loop: loop.id, token: loop.token };
    const step = (): LoopStep => resting(loop);
    const run = (): void => undefined;
    const unconfirmed = t.storage.loops.transact({ lease, confirm: false, run, step });
    await rejectsWith(unconfirmed, "OPTION_INVALID");
    assert.equal((await looking(t, loop, resting(loop)))?.answer?.status, "idle");
  },

  "an idle loop waits for a ping, for as long as the ping says": async (t) => {
    const { worker, loop } = await idleLoop(t, "a");
    await t.pass(1_000_000);
    await t.storage.heartbeat(worker.incarnation, 1_000_000_000);
    assert.deepEqual(await claimLoops(t, worker), []);
    assert.deepEqual(await t.storage.loops.ping([{ loop: loop.id, runInMs: 100 }]), ["woken"]);
    assert.deepEqual(await t.storage.loops.ping([{ loop: loop.id, runInMs: 0 }]), ["awake"]);
    await t.pass(99);
    assert.deepEqual(await claimLoops(t, worker), []);
    await t.pass(1);
    assert.equal((await claimLoop(t, worker)).id, loop.id);
  },

  "an idle loop wakes by itself at the time that it set": async (t) => {
    const { worker } = await idleLoop(t, "a", 500);
    await t.pass(499);
    assert.deepEqual(await claimLoops(t, worker), []);
    await t.pass(1);
    assert.equal((await claimLoop(t, worker)).status, "active");
  },

  "pings say what they came to": async (t) => {
    const { loop } = await idleLoop(t, "a");
    await t.storage.loops.create([newLoop("active", { runInMs: 60_000 }), newLoop("paused")]);
    const [active, paused] = (await t.storage.loops.get([
      newLoop("active"),
      newLoop("paused"),
    ])) as [LoopRow, LoopRow];
    await t.storage.loops.control([paused.id], "pause");
    const pings = [active.id, paused.id, loop.id, 987_654].map((id) => ({ loop: id, runInMs: 0 }));
    const answers = await t.storage.loops.ping(pings);
    assert.deepEqual(answers, ["awake", "paused", "woken", "ended"]);
    await t.storage.loops.control([loop.id], "cancel");
    assert.deepEqual(await t.storage.loops.ping([{ loop: loop.id, runInMs: 0 }]), ["ended"]);
  },

  "a ping in a transaction counts when that commits, and only then": async (t) => {
    const { worker, loop: sleeper } = await idleLoop(t, "sleeper");
    await t.storage.loops.create([newLoop("other")]);
    const other = await claimLoop(t, worker);
    const failure = new Error("rolled back");
    const ping = { loop: sleeper.id, runInMs: 0 };
    const failed = looking(t, other, stepOf(other), (tx): unknown => {
      const pinged = pingIn(t, tx, ping);
      if (!(pinged instanceof Promise)) throw failure;
      return pinged.then(() => {
        throw failure;
      });
    });
    await assert.rejects(failed, (error) => error === failure);
    assert.deepEqual(await claimLoops(t, worker), []);
    const keep = { to: "active", runInMs: 60_000, keep: true } as const;
    const done = await looking(t, other, stepOf(other, { move: keep }), (tx) => {
      return pingIn(t, tx, ping);
    });
    assert.deepEqual(done?.result, ["woken"]);
    assert.equal((await claimLoop(t, worker)).id, sleeper.id);
  },

  "a ping in a transaction waits as long as it says": async (t) => {
    const { worker, loop: sleeper } = await idleLoop(t, "sleeper");
    await t.storage.loops.create([newLoop("other")]);
    const other = await claimLoop(t, worker);
    const keep = { to: "active", runInMs: 60_000, keep: true } as const;
    const ping = { loop: sleeper.id, runInMs: 50 };
    await looking(t, other, stepOf(other, { move: keep }), (tx) => pingIn(t, tx, ping));
    assert.deepEqual(await claimLoops(t, worker), []);
    await t.pass(50);
    assert.equal((await claimLoop(t, worker)).id, sleeper.id);
  },

  "a kick during the last look keeps the loop awake": async (t) => {
    const worker = await t.worker();
    await t.storage.loops.create([newLoop("a")]);
    const loop = await claimLoop(t, worker);
    await t.storage.loops.control([loop.id], "kick");
    const transacted = await looking(t, loop, resting(loop));
    const answer = transacted?.answer as StepAnswer;
    assert.deepEqual([answer.status, answer.owned], ["active", false]);
    assert.equal((await claimLoop(t, worker)).id, loop.id);
  },

  "something new does not begin in a loop that is paused, and what is under way ends": async (
    t,
  ) => {
    const worker = await t.worker();
    await t.storage.loops.create([newLoop("a")]);
    const loop = await claimLoop(t, worker);
    await t.storage.loops.control([loop.id], "pause");
    const lease = { loop: loop.id, token: loop.token };
    const step = (): LoopStep => stepOf(loop, { cursor: "1" });
    const run = (): void => undefined;
    const request = { lease, confirm: false, run, step };
    await rejectsWith(t.storage.loops.transact({ ...request, fresh: true }), "LEASE_LOST");
    assert.equal((await t.storage.loops.get([loop]))[0]?.cursor, null);
    const ended = await t.storage.loops.transact(request);
    assert.equal(ended?.answer?.status, "paused");
    assert.equal((await t.storage.loops.get([loop]))[0]?.cursor, "1");
  },

  "a loop paused during the last look is paused": async (t) => {
    const worker = await t.worker();
    await t.storage.loops.create([newLoop("a")]);
    const loop = await claimLoop(t, worker);
    await t.storage.loops.control([loop.id], "pause");
    assert.equal((await looking(t, loop, resting(loop)))?.answer?.status, "paused");
    await t.storage.loops.control([loop.id], "resume");
    assert.equal((await claimLoop(t, worker)).id, loop.id, "it looks again");
  },
};

export const asyncLoopCases: Cases = {
  "nothing is written before the call returns, so a ping like that is refused": async (t) => {
    throwsWith(() => t.storage.loops.pingInside({}, []), "TX_UNSUPPORTED");
  },

  "nobody goes idle while somebody who pinged has not committed yet": async (t) => {
    const worker = await t.worker();
    await t.storage.loops.create([newLoop("a"), newLoop("b")]);
    const [a, b] = (await claimLoops(t, worker)) as [LoopRow, LoopRow];
    await looking(t, a, stepOf(a), async (tx) => {
      assert.deepEqual(await pingIn(t, tx, { loop: b.id, runInMs: 0 }), ["awake"]);
      assert.equal(await looking(t, b, resting(b), () => assert.fail("it must not run")), null);
    });
    assert.equal((await looking(t, b, resting(b)))?.answer?.status, "idle");
  },

  "who pings after the last look began is heard, though nobody waits for it": async (t) => {
    const worker = await t.worker();
    await t.storage.loops.create([newLoop("a"), newLoop("b")]);
    const [a, b] = (await claimLoops(t, worker)) as [LoopRow, LoopRow];
    let commit: () => void = () => undefined;
    const open = new Promise<void>((resolve) => {
      commit = resolve;
    });
    let pinged: () => void = () => undefined;
    const inside = new Promise<void>((resolve) => {
      pinged = resolve;
    });
    let other: Promise<unknown> = Promise.resolve();
    const last = await looking(t, b, resting(b), async () => {
      other = looking(t, a, stepOf(a, { move: { to: "done" } }), async (tx) => {
        await pingIn(t, tx, { loop: b.id, runInMs: 0 });
        pinged();
        await open;
      });
      await inside;
    });
    assert.equal(last?.answer?.status, "idle", "the ping has not committed");
    assert.deepEqual(await claimLoops(t, worker), []);
    commit();
    await other;
    assert.equal((await claimLoop(t, worker)).id, b.id);
  },

  "many who ping an idle loop in open transactions do not wait for each other": async (t) => {
    const { worker, loop: sleeper } = await idleLoop(t, "sleeper");
    await t.storage.loops.create([newLoop("a"), newLoop("b")]);
    const [a, b] = (await claimLoops(t, worker)) as [LoopRow, LoopRow];
    const ping = { loop: sleeper.id, runInMs: 0 };
    await looking(t, a, stepOf(a, { move: { to: "done" } }), async (tx) => {
      await pingIn(t, tx, ping);
      await looking(t, b, stepOf(b, { move: { to: "done" } }), (inner) => pingIn(t, inner, ping));
      assert.equal((await claimLoop(t, worker)).id, sleeper.id);
    });
  },
};
