/** Loops: what users ask of them, what becomes of owners that die, and what loops leave behind. */
import assert from "node:assert/strict";

import type { LoopControl } from "../../core/loop-transitions.ts";
import type { LoopRow } from "../../storage/loops.ts";
import { FAILURE, LEASE_MS, sorted, type Cases } from "./fixture.ts";
import { claimLoop, claimLoops, looking, newLoop, stepOf, TAKE } from "./loop-fixture.ts";

export const loopControlCases: Cases = {
  "a paused loop is claimed by nobody, and goes on where it was": async (t) => {
    const worker = await t.worker();
    const [made] = await t.storage.loops.create([newLoop("a", { cursor: "7" })]);
    const id = made?.loop.id as number;
    const [paused] = await t.storage.loops.control([id], "pause");
    assert.deepEqual([paused?.changed, paused?.loop?.status], [true, "paused"]);
    assert.equal((await t.storage.loops.control([id], "pause"))[0]?.changed, false);
    assert.equal((await t.storage.loops.control([id], "kick"))[0]?.changed, false);
    assert.deepEqual(await claimLoops(t, worker), []);
    await t.storage.loops.control([id], "resume");
    assert.equal((await claimLoop(t, worker)).cursor, "7");
  },

  "the step under way is written although the loop was paused, and is the last": async (t) => {
    const worker = await t.worker();
    await t.storage.loops.create([newLoop("a")]);
    const loop = await claimLoop(t, worker);
    await t.storage.loops.control([loop.id], "pause");
    const move = { to: "active", runInMs: 0, keep: true } as const;
    const [answer] = await t.storage.loops.advance([stepOf(loop, { cursor: "1", move })]);
    assert.deepEqual([answer?.result, answer?.status, answer?.owned], ["written", "paused", false]);
    assert.deepEqual(await claimLoops(t, worker), []);
    await t.storage.loops.control([loop.id], "resume");
    assert.equal((await claimLoop(t, worker)).cursor, "1");
  },

  "paused and resumed in mid-step, the same owner goes on, and nobody beside it": async (t) => {
    const [one, two] = [await t.worker(), await t.worker()];
    await t.storage.loops.create([newLoop("a")]);
    const loop = await claimLoop(t, one);
    await t.storage.loops.control([loop.id], "pause");
    await t.storage.loops.control([loop.id], "resume");
    assert.deepEqual(await claimLoops(t, two), []);
    const move = { to: "active", runInMs: 0, keep: true } as const;
    const [answer] = await t.storage.loops.advance([stepOf(loop, { cursor: "1", move })]);
    assert.deepEqual([answer?.status, answer?.owned], ["active", true]);
    assert.deepEqual(await claimLoops(t, two), []);
  },

  "a loop that ends while it is paused has ended": async (t) => {
    const worker = await t.worker();
    await t.storage.loops.create([newLoop("a")]);
    const loop = await claimLoop(t, worker);
    await t.storage.loops.control([loop.id], "pause");
    const [answer] = await t.storage.loops.advance([stepOf(loop, { move: { to: "done" } })]);
    assert.equal(answer?.status, "done");
    assert.equal((await t.storage.loops.control([loop.id], "resume"))[0]?.changed, false);
  },

  "cancelling takes the token away, for ever": async (t) => {
    const worker = await t.worker();
    await t.storage.loops.create([newLoop("a")]);
    const loop = await claimLoop(t, worker);
    const [cancelled] = await t.storage.loops.control([loop.id], "cancel");
    assert.equal(cancelled?.loop?.status, "cancelled");
    const [answer] = await t.storage.loops.advance([stepOf(loop, { move: { to: "done" } })]);
    assert.deepEqual([answer?.result, answer?.status], ["lost", "cancelled"]);
    for (const event of ["pause", "resume", "cancel", "kick"] satisfies LoopControl[]) {
      assert.equal((await t.storage.loops.control([loop.id], event))[0]?.changed, false);
    }
    assert.deepEqual(await claimLoops(t, worker), []);
  },

  "a failed loop keeps its error, and has all attempts when it is resumed": async (t) => {
    const worker = await t.worker();
    await t.storage.loops.create([newLoop("a")]);
    const loop = await claimLoop(t, worker);
    const step = stepOf(loop, { attempt: 4, error: FAILURE, move: { to: "failed" } });
    await t.storage.loops.advance([step]);
    const [failed] = await t.storage.loops.get([loop]);
    assert.deepEqual([failed?.status, failed?.attempt, failed?.error], ["failed", 4, FAILURE]);
    assert.deepEqual(await claimLoops(t, worker), []);
    assert.equal((await t.storage.loops.control([loop.id], "pause"))[0]?.changed, false);
    await t.storage.loops.control([loop.id], "resume");
    const again = await claimLoop(t, worker);
    assert.deepEqual([again.attempt, again.error], [0, null]);
  },

  "a kick makes a loop due now, or right after the step under way": async (t) => {
    const worker = await t.worker();
    const [made] = await t.storage.loops.create([newLoop("a", { runInMs: 60_000 })]);
    await t.storage.loops.control([made?.loop.id as number], "kick");
    const loop = await claimLoop(t, worker);
    await t.storage.loops.control([loop.id], "kick");
    const move = { to: "active", runInMs: 60_000, keep: false } as const;
    const [answer] = await t.storage.loops.advance([stepOf(loop, { move })]);
    assert.ok((answer?.runAt ?? Infinity) <= t.clock.wallMs());
    const next = await claimLoop(t, worker);
    await t.storage.loops.advance([stepOf(next, { move })]);
    assert.deepEqual(await claimLoops(t, worker), [], "one kick is one run");
  },

  "a dead owner's loops are taken over, and it is counted": async (t) => {
    const [dead, heir] = [await t.worker(), await t.worker()];
    await t.storage.loops.create([newLoop("a")]);
    const lost = await claimLoop(t, dead);
    await t.pass(LEASE_MS - 1);
    await t.storage.heartbeat(heir.incarnation, LEASE_MS);
    assert.deepEqual(await claimLoops(t, heir), []);
    await t.pass(1);
    assert.ok((await t.storage.reap(3)).incarnations.includes(dead.incarnation));
    const [late] = await t.storage.loops.advance([stepOf(lost, { cursor: "late" })]);
    assert.equal(late?.result, "lost");
    const taken = await claimLoop(t, heir);
    assert.deepEqual([taken.id, taken.crashes], [lost.id, 1]);
    await t.storage.loops.advance([stepOf(taken, { cursor: "on" })]);
    assert.equal((await t.storage.loops.get([lost]))[0]?.crashes, 0, "a step ends the row");
  },

  "a dead incarnation claims nothing": async (t) => {
    const zombie = await t.worker();
    await t.crash(zombie);
    await t.storage.loops.create([newLoop("a")]);
    assert.deepEqual(await claimLoops(t, zombie), []);
  },

  "a retired incarnation has given its loops back, and nothing counts": async (t) => {
    const [leaving, staying] = [await t.worker(), await t.worker()];
    await t.storage.loops.create([newLoop("a")]);
    await claimLoop(t, leaving);
    await t.storage.retire(leaving.incarnation);
    assert.equal((await claimLoop(t, staying)).crashes, 0);
  },

  "loops that the process does not know are released, and it learns what it lost": async (t) => {
    const worker = await t.worker();
    await t.storage.loops.create([newLoop("a"), newLoop("b"), newLoop("c")]);
    const [a, b, c] = (await claimLoops(t, worker)) as [LoopRow, LoopRow, LoopRow];
    await t.storage.loops.release([{ loop: c.id, token: c.token }]);
    const leases = [a, c].map(({ id, token }) => ({ loop: id, token }));
    const lost = await t.storage.loops.releaseStrangers(worker.incarnation, leases);
    assert.deepEqual(lost, [leases[1]]);
    const free = await claimLoops(t, worker);
    assert.deepEqual(sorted(free.map(({ id }) => id)), sorted([b.id, c.id]));
  },

  "a deleted loop is gone with all it left behind": async (t) => {
    const worker = await t.worker();
    await t.storage.loops.create([newLoop("a")]);
    const loop = await claimLoop(t, worker);
    assert.deepEqual(await t.storage.loops.delete([loop.id], ["done", "cancelled"]), []);
    const bury = [{ item: "x", error: FAILURE, attempts: 1 }];
    await t.storage.loops.advance([stepOf(loop, { bury, note: "n", move: { to: "done" } })]);
    assert.deepEqual(await t.storage.loops.delete([loop.id], ["done"]), [loop.id]);
    assert.deepEqual(await t.storage.loops.get([loop]), [null]);
    assert.deepEqual(await t.storage.loops.notes({ loop: loop.id, after: 0, limit: 9 }), []);
    const [again] = await t.storage.loops.create([newLoop("a")]);
    assert.equal(again?.created, true);
    assert.notEqual(again.loop.id, loop.id, "its token must not become valid again");
  },

  "texts come back as they were given": async (t) => {
    const worker = await t.worker();
    const text = [String.raw`\ ' " $1 \u0000`, "é 𝒳", "x".repeat(20_000)].join("\n");
    await t.storage.loops.create([newLoop(String.raw`ä'\b`, { state: text, cursor: text })]);
    const loop = await claimLoop(t, worker);
    assert.deepEqual([loop.part, loop.state, loop.cursor], [String.raw`ä'\b`, text, text]);
    const error = { name: "Er'ror", message: text, code: "C" };
    const bury = [{ item: text, error, attempts: 2 }];
    const step = stepOf(loop, { state: `${text}2`, cursor: `${text}3`, error, bury, note: text });
    await looking(t, loop, step);
    const [stored] = await t.storage.loops.get([loop]);
    assert.deepEqual([stored?.state, stored?.cursor], [`${text}2`, `${text}3`]);
    assert.deepEqual(stored?.error, error);
    const query = { kind: TAKE.kind, name: TAKE.name, part: null, marked: false };
    const [letter] = await t.storage.loops.deadLetters({ ...query, after: 0, limit: 9 });
    assert.deepEqual([letter?.item, letter?.error, letter?.attempts], [text, error, 2]);
    const notes = await t.storage.loops.notes({ loop: loop.id, after: 0, limit: 9 });
    assert.deepEqual(notes, [{ step: 1, note: text }]);
  },

  "dead letters are read, marked for another try, and removed by a step": async (t) => {
    const worker = await t.worker();
    await t.storage.loops.create([newLoop("a"), newLoop("b")]);
    for (const loop of await claimLoops(t, worker)) {
      const bury = [1, 2].map((n) => ({ item: `${loop.part}${n}`, error: FAILURE, attempts: n }));
      const move = { to: "active", runInMs: 60_000, keep: false } as const;
      await t.storage.loops.advance([stepOf(loop, { bury, move })]);
    }
    const { kind, name } = TAKE;
    const query = { kind, name, part: null, marked: false, after: 0, limit: 9 };
    const all = await t.storage.loops.deadLetters(query);
    assert.deepEqual(
      all.map(({ item, part, marked }) => [item, part, marked]),
      ["a1", "a2", "b1", "b2"].map((item) => [item, item[0], false]),
    );
    const ids = all.map(({ id }) => id);
    assert.equal((await t.storage.loops.deadLetters({ ...query, part: "b" })).length, 2);
    assert.equal(await t.storage.loops.redriveDead({ kind, name, ids: ids.slice(2, 3) }), 1);
    assert.equal(await t.storage.loops.redriveDead({ kind, name, ids: ids.slice(2, 3) }), 0);
    const [due] = (await claimLoops(t, worker)) as [LoopRow];
    assert.equal(due.part, "b", "it is due at once");
    const marked = await t.storage.loops.deadLetters({ ...query, marked: true });
    assert.deepEqual(
      marked.map(({ item }) => item),
      ["b1"],
    );
    await t.storage.loops.advance([stepOf(due, { revive: ids })]);
    const left = await t.storage.loops.deadLetters(query);
    assert.deepEqual(
      left.map(({ item }) => item),
      ["a1", "a2"],
      "a step removes only letters of its own loop",
    );
    assert.equal(await t.storage.loops.discardDead({ kind, name: "other", ids: "all" }), 0);
    assert.equal(await t.storage.loops.discardDead({ kind, name, ids: "all" }), 2);
  },
};
