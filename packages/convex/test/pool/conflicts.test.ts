/** Who would make whom repeat itself: what a test backend, one after the other, does not show. */
import { beforeEach, expect, test } from "vitest";
import { Workpool } from "../../src/client/pool.js";
import poolSchema from "../../src/pool/schema.js";
import { Auditor, describeConflicts, type Conflict } from "../audit/auditor.js";
import { slowTimers } from "../meter.js";
import { advance, advanceUntil, useVirtualTime } from "../stage.js";
import schema from "./app/schema.js";
import { watched } from "./app/watched.js";
import { components, isIdle, jobs, names, stage, type Stage } from "./fixture.js";

useVirtualTime();

const pool = import.meta.glob(["../../src/pool/*.ts", "!**/convex.config.ts"]);
const app = import.meta.glob("./app/*.ts");

/** What is scheduled starts later than this: within it, everything is side by side. */
const WINDOW_MS = 15;

let timers: ReturnType<typeof slowTimers>;

beforeEach(() => {
  timers = slowTimers(20);
  return timers.restore;
});

function pass(ms: number): Promise<void> {
  return advance(ms, timers.exact);
}

/** A user's call of the pool, in a transaction of its own. */
const CALL = "call";

async function audited(maxParallelism: number): Promise<{ at: Stage; auditor: Auditor }> {
  const at = await stage({ maxParallelism });
  const auditor = await Auditor.of([
    { path: "pool", modules: pool, schema: poolSchema },
    { path: "", modules: app, schema },
  ]);
  return { at, auditor };
}

/** Keeps the loop awake: it is woken before, and falls asleep after the calls that are looked at. */
async function keptAwake({ at, auditor }: { at: Stage; auditor: Auditor }): Promise<void> {
  await at.mutate((ctx) => at.pool.enqueueAction(ctx, jobs.work, { name: "first", ms: 3000 }));
  await pass(60);
  auditor.clear();
}

/** How often each call is in a pair; index by index. */
function pairsOf(conflicts: readonly Conflict[], names_: readonly string[]): number[] {
  return names_.map(
    (name) => conflicts.filter(({ first, second }) => first === name || second === name).length,
  );
}

test("calls on an awake pool conflict neither with each other nor with the loop", async () => {
  const { at, auditor } = await audited(100);
  await keptAwake({ at, auditor });
  for (let call = 0; call < 50; call++) {
    const some = names(4, `b${call}.`);
    await auditor.transaction(CALL, () =>
      at.mutate((ctx) => at.pool.enqueueActionBatch(ctx, jobs.work, some)),
    );
    await pass(7);
  }
  expect(auditor.count("pool/loop:turn")).toBeGreaterThan(0);
  const steady = auditor.conflicts(WINDOW_MS);
  expect(describeConflicts(steady)).toBe("0 conflicts");
  await advanceUntil(() => isIdle(at));
  expect(watched.done).toHaveLength(201);
});

test("runs that settle and take more conflict with no call while the pool is full", async () => {
  const { at, auditor } = await audited(4);
  await keptAwake({ at, auditor });
  for (let call = 0; call < 20; call++) {
    const some = names(20, `b${call}.`).map((one) => ({ ...one, ms: 40 }));
    await auditor.transaction(CALL, () =>
      at.mutate((ctx) => at.pool.enqueueActionBatch(ctx, jobs.work, some)),
    );
    await pass(31);
  }
  expect(auditor.count("pool/runs:settle")).toBeGreaterThan(0);
  const ofCalls = auditor
    .conflicts(WINDOW_MS)
    .filter(({ first, second }) => first === CALL || second === CALL);
  expect(describeConflicts(ofCalls)).toBe("0 conflicts");
  await advanceUntil(() => isIdle(at));
  expect(watched.done).toHaveLength(401);
});

test("mutations of the pool conflict with no call, and not with each other", async () => {
  const { at, auditor } = await audited(100);
  await keptAwake({ at, auditor });
  for (let call = 0; call < 20; call++) {
    const some = names(20, `b${call}.`);
    await auditor.transaction(CALL, () =>
      at.mutate((ctx) => at.pool.enqueueMutationBatch(ctx, jobs.write, some)),
    );
    await pass(7);
  }
  expect(auditor.count("pool/mutations:run")).toBeGreaterThan(0);
  expect(describeConflicts(auditor.conflicts(WINDOW_MS))).toBe("0 conflicts");
  await advanceUntil(() => isIdle(at));
  expect(await at.own("ran")).toHaveLength(400);
});

test("calls of one serial key conflict neither with each other nor with what lets the next one go", async () => {
  const { at, auditor } = await audited(100);
  await keptAwake({ at, auditor });
  for (let call = 0; call < 60; call++) {
    const [name, serialKey] = [`b${call}`, `key ${call % 2}`];
    await auditor.transaction(CALL, () =>
      at.mutate((ctx) => at.pool.enqueueAction(ctx, jobs.work, { name, ms: 25 }, { serialKey })),
    );
    await pass(7);
  }
  expect(auditor.count("pool/runs:settle")).toBeGreaterThan(0);
  const conflicts = auditor.conflicts(WINDOW_MS);
  const ofCalls = conflicts.filter(({ first, second }) => first === CALL || second === CALL);
  expect(describeConflicts(ofCalls)).toBe("0 conflicts");
  await advanceUntil(() => isIdle(at));
  expect(watched.done).toHaveLength(61);
});

test("calls of a throttled pool, and of one whose work dies, conflict with nothing", async () => {
  const { at, auditor } = await audited(100);
  const throttled = new Workpool(components.pool, {
    maxParallelism: 100,
    pool: "slow",
    throttle: { max: 5, duration: 100 },
  });
  await at.mutate((ctx) => throttled.enqueueAction(ctx, jobs.work, { name: "z" }));
  await keptAwake({ at, auditor });
  for (let call = 0; call < 30; call++) {
    const [name, fail] = [`b${call}`, call % 3 === 0 ? "always" : "never"];
    await auditor.transaction(CALL, () =>
      at.mutate(async (ctx) => {
        await throttled.enqueueAction(ctx, jobs.work, { name });
        await at.pool.enqueueAction(ctx, jobs.work, { name, fail });
      }),
    );
    await pass(7);
  }
  const conflicts = auditor.conflicts(WINDOW_MS);
  const ofCalls = conflicts.filter(({ first, second }) => first === CALL || second === CALL);
  expect(describeConflicts(ofCalls)).toBe("0 conflicts");
  await advanceUntil(() => isIdle(at));
  expect(await at.rows("dead")).toHaveLength(10);
});

test("at most one call in each pair repeats itself, once, when the pool wakes up", async () => {
  const { at, auditor } = await audited(100);
  await at.mutate((ctx) => at.pool.enqueueAction(ctx, jobs.work, { name: "first" }));
  await advanceUntil(() => isIdle(at));
  auditor.clear();
  const calls = names(10, "call ").map(({ name }) => name);
  for (const name of calls) {
    await auditor.transaction(name, () =>
      at.mutate((ctx) => at.pool.enqueueAction(ctx, jobs.work, { name })),
    );
  }
  const conflicts = auditor.conflicts(WINDOW_MS);
  // The waker with each of the others, which read the gate that it opens; no other pair.
  expect(conflicts).toHaveLength(9);
  expect(pairsOf(conflicts, calls)).toEqual([9, ...Array.from({ length: 9 }, () => 1)]);
  for (const { reasons } of conflicts) expect(reasons.join("; ")).toContain("pool/gate");
  await advanceUntil(() => isIdle(at));
  expect(watched.done).toHaveLength(11);
});

test("a call while the pool falls asleep conflicts with that turn alone", async () => {
  const { at, auditor } = await audited(100);
  await at.mutate((ctx) => at.pool.enqueueAction(ctx, jobs.work, { name: "first" }));
  let isAsleep = false;
  const calls: string[] = [];
  for (let call = 0; call < 60 && !isAsleep; call++) {
    await pass(5);
    isAsleep = await isIdle(at);
  }
  const name = "late";
  calls.push(name);
  await auditor.transaction(name, () =>
    at.mutate((ctx) => at.pool.enqueueAction(ctx, jobs.work, { name })),
  );
  expect(isAsleep).toBe(true);
  const late = auditor.conflicts(WINDOW_MS).filter(({ second }) => second === name);
  expect(late.map(({ first }) => first)).toEqual(["pool/loop:turn"]);
  await advanceUntil(() => isIdle(at));
  expect(watched.done).toEqual(["first", "late"]);
});
