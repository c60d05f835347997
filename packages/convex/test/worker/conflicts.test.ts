/** Who would make whom repeat itself: what a test backend, one after the other, does not show. */
import { beforeEach, expect, test } from "vitest";
import workerSchema from "../../src/worker/schema.js";
import { Auditor, describeConflicts, type Conflict } from "../audit/auditor.js";
import { slowTimers } from "../meter.js";
import { advance, useVirtualTime } from "../stage.js";
import { components, internal } from "./app/_generated/api.js";
import schema from "./app/schema.js";
import { watched } from "./app/watched.js";
import { stage, type Stage } from "./fixture.js";

useVirtualTime();

const worker = import.meta.glob(["../../src/worker/*.ts", "!**/convex.config.ts"]);
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

async function audited(): Promise<{ at: Stage; auditor: Auditor }> {
  const at = await stage();
  const auditor = await Auditor.of([
    { path: "worker", modules: worker, schema: workerSchema },
    { path: "", modules: app, schema },
  ]);
  return { at, auditor };
}

/** Each pair in which one of these names is. */
function of(conflicts: readonly Conflict[], names: readonly string[]): Conflict[] {
  return conflicts.filter(({ first, second }) => names.includes(first) || names.includes(second));
}

test("pings of a running worker conflict neither with each other nor with its loop", async () => {
  const { at, auditor } = await audited();
  watched.batchSize = 4;
  watched.idle = { cooldownMs: 5000, pollIntervalMs: 50 };
  await at.add(0);
  await pass(60);
  auditor.clear();
  for (let value = 1; value <= 50; value++) {
    await auditor.transaction("ping", () => at.add(value));
    await pass(7);
  }
  expect(auditor.count("worker/loop:turn")).toBeGreaterThan(0);
  expect(describeConflicts(auditor.conflicts(WINDOW_MS))).toBe("0 conflicts");
  await pass(10_000);
  expect(await at.handled()).toHaveLength(51);
});

test("a loop that follows a cursor and calls that append conflict with nobody", async () => {
  const { at, auditor } = await audited();
  // Every turn finds something to do: the worker sleeps when nobody appends.
  for (let call = 0; call < 40; call++) {
    await auditor.transaction("append", () =>
      at.t.mutation(internal.events.append, { values: [call * 2, call * 2 + 1] }),
    );
    if (call === 5) auditor.clear();
    await pass(7);
  }
  expect(auditor.count("worker/loop:turn")).toBeGreaterThan(0);
  const appends = auditor.conflicts(WINDOW_MS);
  expect(describeConflicts(appends)).toBe("0 conflicts");
  await pass(5000);
  expect(await at.handled()).toHaveLength(80);
});

test("the monitor of a busy worker conflicts with no turn and with no ping, for minutes", async () => {
  const { at, auditor } = await audited();
  watched.idle = { cooldownMs: 600_000, pollIntervalMs: 100 };
  await at.add(0);
  await pass(60);
  auditor.clear();
  for (let value = 1; value <= 60; value++) {
    await auditor.transaction("ping", () => at.add(value));
    await pass(993);
  }
  expect(auditor.count("worker/monitor:look")).toBeGreaterThan(4);
  expect(describeConflicts(auditor.conflicts(WINDOW_MS))).toBe("0 conflicts");
});

test("workers of different names conflict with each other at no time, transitions included", async () => {
  const { at, auditor } = await audited();
  const ping = (name: string): Promise<unknown> =>
    auditor.transaction(name, () =>
      at.t.mutation((ctx) =>
        ctx.runMutation(components.worker.lib.ping, {
          name,
          workQuery: "function://;events:getBatch",
          workerMutation: "function://;events:processBatch",
        }),
      ),
    );
  const all = Array.from({ length: 20 }, (_, i) => `w${i}`);
  for (const name of all) await ping(name);
  await pass(2000);
  for (const name of all) await ping(name);
  expect(describeConflicts(auditor.conflicts(WINDOW_MS))).toBe("0 conflicts");
});

test("when a worker wakes, each other ping repeats itself at most once", async () => {
  const { at, auditor } = await audited();
  await at.add(0);
  await pass(1000);
  expect(await at.status()).toBe("idle");
  auditor.clear();
  const pings = Array.from({ length: 10 }, (_, i) => `ping ${i}`);
  for (const [value, name] of pings.entries()) {
    await auditor.transaction(name, () => at.add(value + 1));
  }
  const conflicts = auditor.conflicts(WINDOW_MS);
  // The waker with each of the others, which read the row that it writes; no other pair.
  expect(conflicts).toHaveLength(9);
  for (const name of pings.slice(1)) expect(of(conflicts, [name])).toHaveLength(1);
  for (const { reasons } of conflicts) expect(reasons.join("; ")).toContain("worker/workers");
  await pass(1000);
  expect(await at.handled()).toHaveLength(11);
});

test("a ping while the worker falls asleep conflicts with that turn alone, and is not lost", async () => {
  const { at, auditor } = await audited();
  await at.add(0);
  for (let wait = 0; wait < 60 && (await at.status()) !== "idle"; wait++) await pass(5);
  await auditor.transaction("late", () => at.add(1));
  const conflicts = of(auditor.conflicts(WINDOW_MS), ["late"]);
  expect(conflicts.map(({ first }) => first)).toEqual(["worker/loop:turn"]);
  await pass(1000);
  expect(await at.handled()).toEqual([0, 1]);
});

test("while a worker fails, pings conflict with none of its turns", async () => {
  const { at, auditor } = await audited();
  watched.mutationFails = 3;
  await at.add(0);
  await pass(60);
  auditor.clear();
  for (let value = 1; value <= 40; value++) {
    await auditor.transaction("ping", () => at.add(value));
    await pass(61);
  }
  expect(auditor.count("worker/loop:turn")).toBeGreaterThan(0);
  expect(describeConflicts(auditor.conflicts(WINDOW_MS))).toBe("0 conflicts");
  await pass(60_000);
  expect(await at.handled()).toHaveLength(41);
});

test("looking at a worker holds up nobody", async () => {
  const { at, auditor } = await audited();
  watched.idle = { cooldownMs: 5000, pollIntervalMs: 20 };
  await at.add(0);
  await pass(60);
  auditor.clear();
  for (let look = 0; look < 20; look++) {
    await auditor.transaction("look", async () => {
      await at.explain();
      await at.status();
    });
    await pass(7);
  }
  expect(of(auditor.conflicts(WINDOW_MS), ["look"])).toEqual([]);
});
