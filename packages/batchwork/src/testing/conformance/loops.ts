/** Loops: one owner at a time, and no state is replaced by an older one. */
import assert from "node:assert/strict";

import type { LoopRow, LoopStep, StepAnswer } from "../../storage/loops.ts";
import { FAILURE, rejectsWith, type Cases } from "./fixture.ts";
import { claimLoop, claimLoops, looking, newLoop, stepOf, TAKE } from "./loop-fixture.ts";

export const loopCases: Cases = {
  "a loop is made once": async (t) => {
    const [first] = await t.storage.loops.create([newLoop("a", { state: "one", cursor: "c" })]);
    assert.equal(first?.created, true);
    const [again, other] = await t.storage.loops.create([
      newLoop("a", { state: "two" }),
      newLoop("b"),
    ]);
    assert.deepEqual([again?.created, other?.created], [false, true]);
    assert.deepEqual(again?.loop, first.loop);
    assert.notEqual(other?.loop.id, first.loop.id);
    assert.partialDeepStrictEqual(first.loop, {
      state: "one",
      cursor: "c",
      status: "active",
      step: 0,
      owner: null,
      attempt: 0,
      crashes: 0,
      error: null,
    });
  },

  "kind, name and part keep loops apart": async (t) => {
    const keys = [
      { kind: "k", name: "a", part: "b:c" },
      { kind: "k", name: "a:b", part: "c" },
      { kind: "l", name: "a", part: "b:c" },
      { kind: "k", name: "a", part: "" },
    ];
    const created = await t.storage.loops.create(keys.map((key) => ({ ...newLoop(""), ...key })));
    assert.ok(created.every((one) => one.created));
    const found = await t.storage.loops.get([...keys, { kind: "k", name: "b", part: "c" }]);
    assert.deepEqual(
      found.map((loop) => loop?.id ?? null),
      [...created.map(({ loop }) => loop.id), null],
    );
  },

  "loops are listed from the latest, by state, page by page": async (t) => {
    const worker = await t.worker();
    for (const part of ["a", "b", "c", "d"]) await t.storage.loops.create([newLoop(part)]);
    await t.storage.loops.create([{ ...newLoop("x"), name: "other" }]);
    const query = { kind: TAKE.kind, name: TAKE.name, statuses: null, before: null, limit: 3 };
    const page = await t.storage.loops.list(query);
    assert.deepEqual(
      page.map(({ part }) => part),
      ["d", "c", "b"],
    );
    const rest = await t.storage.loops.list({ ...query, before: page.at(-1)?.id as number });
    assert.deepEqual(
      rest.map(({ part }) => part),
      ["a"],
    );
    const [first] = await claimLoops(t, worker, { limit: 1 });
    await t.storage.loops.advance([stepOf(first as LoopRow, { move: { to: "done" } })]);
    const done = await t.storage.loops.list({ ...query, statuses: ["done", "failed"] });
    assert.deepEqual(
      done.map(({ part }) => part),
      ["a"],
    );
  },

  "a due loop has one owner, whose token is higher than any before": async (t) => {
    const [one, two] = [await t.worker(), await t.worker()];
    await t.storage.loops.create([newLoop("a")]);
    const first = await claimLoop(t, one);
    assert.deepEqual([first.owner, first.status], [one.incarnation, "active"]);
    assert.deepEqual(await claimLoops(t, two), []);
    await t.storage.loops.release([{ loop: first.id, token: first.token }]);
    const second = await claimLoop(t, two);
    assert.equal(second.id, first.id);
    assert.ok(second.token > first.token);
    await t.storage.loops.release([{ loop: first.id, token: first.token }]);
    assert.deepEqual(await claimLoops(t, one), [], "a superseded token releases nothing");
  },

  "what has been due the longest is claimed first, and the limit holds": async (t) => {
    const worker = await t.worker();
    await t.storage.loops.create([
      newLoop("late", { runInMs: 30 }),
      newLoop("early", { runInMs: 10 }),
      newLoop("middle", { runInMs: 20 }),
    ]);
    await t.pass(30);
    const claimed = await t.storage.loops.claim({
      incarnation: worker.incarnation,
      takes: [{ ...TAKE, limit: 2 }],
    });
    assert.deepEqual(
      claimed.claimed.map(({ part }) => part),
      ["early", "middle"],
    );
    assert.equal(claimed.more, true);
    const next = await t.storage.loops.claim({
      incarnation: worker.incarnation,
      takes: [{ ...TAKE, limit: 0 }],
    });
    assert.deepEqual([next.claimed, next.more], [[], true]);
  },

  "a claim says when something is due next": async (t) => {
    const worker = await t.worker();
    const request = { incarnation: worker.incarnation, takes: [TAKE] };
    assert.equal((await t.storage.loops.claim(request)).nextAt, null);
    await t.storage.loops.create([newLoop("a", { runInMs: 500 }), newLoop("b", { runInMs: 200 })]);
    const { claimed, nextAt, now } = await t.storage.loops.claim(request);
    assert.deepEqual(claimed, []);
    assert.equal(nextAt, now + 200);
    await t.pass(200);
    assert.deepEqual(
      (await claimLoops(t, worker)).map(({ part }) => part),
      ["b"],
    );
  },

  "only the definitions that are asked for are claimed": async (t) => {
    const worker = await t.worker();
    await t.storage.loops.create([newLoop("a"), { ...newLoop("b"), name: "other" }]);
    assert.deepEqual(
      (await claimLoops(t, worker)).map(({ part }) => part),
      ["a"],
    );
  },

  "a step replaces the state of the step before, under the token": async (t) => {
    const worker = await t.worker();
    await t.storage.loops.create([newLoop("a", { cursor: null })]);
    const loop = await claimLoop(t, worker);
    const keep = { to: "active", runInMs: 0, keep: true } as const;
    const one = stepOf(loop, { cursor: "1", state: "s1", move: keep });
    const [answer] = (await t.storage.loops.advance([one])) as [StepAnswer];
    assert.deepEqual([answer.result, answer.status, answer.owned], ["written", "active", true]);
    const two = stepOf({ ...loop, step: 1 }, { cursor: "2", state: "s2", move: keep });
    await t.storage.loops.advance([two]);
    const [stored] = await t.storage.loops.get([loop]);
    assert.deepEqual([stored?.cursor, stored?.state, stored?.step], ["2", "s2", 2]);
    assert.deepEqual(await claimLoops(t, worker), [], "it is still owned");
  },

  "a step that was written already is not written again, and says so": async (t) => {
    const worker = await t.worker();
    await t.storage.loops.create([newLoop("a")]);
    const loop = await claimLoop(t, worker);
    const bury = [{ item: "x", error: FAILURE, attempts: 1 }];
    const move = { to: "active", runInMs: 0, keep: true } as const;
    const step = stepOf(loop, { cursor: "1", move, bury, note: "n" });
    const [first] = await t.storage.loops.advance([step]);
    const [again] = await t.storage.loops.advance([step]);
    assert.deepEqual(again, first);
    const query = { kind: TAKE.kind, name: TAKE.name, part: null, marked: false };
    assert.equal((await t.storage.loops.deadLetters({ ...query, after: 0, limit: 9 })).length, 1);
    const notes = await t.storage.loops.notes({ loop: loop.id, after: 0, limit: 9 });
    assert.deepEqual(notes, [{ step: 1, note: "n" }]);
  },

  "neither an older step nor one from the future is written": async (t) => {
    const worker = await t.worker();
    await t.storage.loops.create([newLoop("a")]);
    const loop = await claimLoop(t, worker);
    const move = { to: "active", runInMs: 0, keep: true } as const;
    const at = (step: number, cursor: string): LoopStep => ({
      ...stepOf(loop, { cursor, move }),
      step,
    });
    await t.storage.loops.advance([at(1, "1")]);
    await t.storage.loops.advance([at(2, "2")]);
    const answers = await t.storage.loops.advance([at(1, "old"), at(4, "future")]);
    assert.deepEqual(
      answers.map(({ result }) => result),
      ["lost", "lost"],
    );
    assert.equal((await t.storage.loops.get([loop]))[0]?.cursor, "2");
  },

  "an owner that was superseded writes nothing": async (t) => {
    const [one, two] = [await t.worker(), await t.worker()];
    await t.storage.loops.create([newLoop("a")]);
    const old = await claimLoop(t, one);
    await t.storage.loops.release([{ loop: old.id, token: old.token }]);
    const [early] = await t.storage.loops.advance([stepOf(old, { cursor: "early" })]);
    assert.equal(early?.result, "lost", "released is not owned");
    const current = await claimLoop(t, two);
    const [late] = await t.storage.loops.advance([stepOf(old, { cursor: "late" })]);
    assert.equal(late?.result, "lost");
    await rejectsWith(looking(t, old, stepOf(old, { cursor: "inside" })), "LEASE_LOST");
    assert.equal((await t.storage.loops.get([old]))[0]?.cursor, null);
    const [right] = await t.storage.loops.advance([stepOf(current, { cursor: "right" })]);
    assert.equal(right?.result, "written");
  },

  "one step that is refused does not hold up another": async (t) => {
    const worker = await t.worker();
    await t.storage.loops.create([newLoop("a"), newLoop("b")]);
    const [a, b] = (await claimLoops(t, worker)) as [LoopRow, LoopRow];
    const stale = { ...stepOf(a), token: a.token + 1 };
    const answers = await t.storage.loops.advance([stale, stepOf(b, { cursor: "b" })]);
    assert.deepEqual(
      answers.map(({ result }) => result),
      ["lost", "written"],
    );
  },

  "a step that does not keep the loop gives it to whoever comes when it is due": async (t) => {
    const [one, two] = [await t.worker(), await t.worker()];
    await t.storage.loops.create([newLoop("a")]);
    const loop = await claimLoop(t, one);
    const move = { to: "active", runInMs: 100, keep: false } as const;
    const [answer] = await t.storage.loops.advance([stepOf(loop, { cursor: "1", move })]);
    assert.equal(answer?.owned, false);
    await t.pass(99);
    assert.deepEqual(await claimLoops(t, two), []);
    await t.pass(1);
    assert.equal((await claimLoop(t, two)).cursor, "1");
  },
};
