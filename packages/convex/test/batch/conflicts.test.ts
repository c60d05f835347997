import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { version } from "convex";
import batchSchema from "../../src/batch/schema.js";
import { Auditor, describeConflicts, type Conflict } from "../audit/auditor.js";
import { slowTimers } from "../meter.js";
import { advance, advanceUntil, useVirtualTime } from "../stage.js";
import schema from "./app/schema.js";
import { watched } from "./app/watched.js";
import { events, isEmpty, stage, type Event, type Stage } from "./fixture.js";

useVirtualTime();

const batch = import.meta.glob(["../../src/batch/*.ts", "!**/convex.config.ts"]);
const app = import.meta.glob("./app/*.ts");

/** Before Convex 1.47, a runner reads what is added meanwhile, and runs again; adds never do. */
const TELLS_SNAPSHOT = Number(version.split(".")[1]) >= 47;

/** What is scheduled starts later than this: within it, everything is side by side. */
const WINDOW_MS = 15;

beforeEach(() => slowTimers(20));

afterEach(() => vi.restoreAllMocks());

type Config = Parameters<typeof stage>[0];

async function audited(config: Config): Promise<{ at: Stage; auditor: Auditor }> {
  const at = await stage(config);
  const auditor = await Auditor.of([
    { path: "batch", modules: batch, schema: batchSchema },
    { path: "", modules: app, schema },
  ]);
  return { at, auditor };
}

/** Adds that run side by side, each under a name of its own: "add 1", "add 2", … */
async function addTogether(at: Stage, auditor: Auditor, batches: Event[][]): Promise<void> {
  for (const [index, items] of batches.entries()) {
    await auditor.transaction(`add ${index + 1}`, () => at.add(items));
  }
}

/** How often each transaction would have had to run again. */
function retriesOf(conflicts: readonly Conflict[]): number[] {
  const counts = new Map<string, number>();
  for (const { second } of conflicts) counts.set(second, (counts.get(second) ?? 0) + 1);
  return [...counts.values()];
}

const singles = (count: number): Event[][] => events(count).map((event) => [event]);

const byText: Config = { groupBy: ({ text = "" }) => text };

test("adds to a batch that is awake conflict neither with each other nor with its runner", async () => {
  const { at, auditor } = await audited({ maxBatchSize: 10, flushIntervalMs: 200 });
  // Something always waits when a batch ends: the group is awake throughout.
  watched.ms = 150;
  await at.add(events(3));
  vi.spyOn(Math, "random").mockReturnValue(0.05);
  await advance(250);
  auditor.clear();
  for (let i = 0; i < 60; i++) {
    await auditor.transaction("add", () => at.add(events(1, 10 + i)));
    await advance(7);
  }
  expect(auditor.count("batch/flush:settle")).toBeGreaterThan(0);
  // A look and the runner that it finds busy do meet: that is what the look is for.
  const ofAdds = auditor
    .conflicts(WINDOW_MS)
    .filter(({ first, second }) => first === "add" || second === "add");
  const ofCallers = ofAdds.filter(({ reasons }) => reasons.some((text) => text.startsWith("add")));
  expect(describeConflicts(TELLS_SNAPSHOT ? ofAdds : ofCallers)).toBe("0 conflicts");
  await advanceUntil(() => isEmpty(at));
  expect(watched.done.flat()).toHaveLength(63);
});

test("of adds that find a batch asleep side by side, each runs again once at most", async () => {
  const { at, auditor } = await audited({ flushIntervalMs: 200 });
  await at.add(events(1));
  await advanceUntil(() => isEmpty(at));
  await advance(1000);
  auditor.clear();
  await addTogether(at, auditor, singles(20));
  const conflicts = auditor.conflicts(WINDOW_MS);
  expect(conflicts.length).toBeGreaterThan(0);
  expect(Math.max(...retriesOf(conflicts))).toBe(1);
});

test("adds beside the runner that goes to sleep run again once at most", async () => {
  const { at, auditor } = await audited({ flushIntervalMs: 200 });
  await at.add(events(3));
  auditor.clear();
  await advanceUntil(async () => (await at.rows("groups"))[0]?.["state"] === "idle");
  await addTogether(at, auditor, singles(10));
  const ofAdds = auditor
    .conflicts(WINDOW_MS)
    .filter(({ reasons }) => reasons.some((text) => text.startsWith("add")));
  // The first one meets the runner, and wakes the batch; the others meet the first.
  expect(Math.max(...retriesOf(ofAdds))).toBeLessThanOrEqual(2);
  await advanceUntil(() => isEmpty(at));
  expect(watched.done.flat()).toHaveLength(13);
});

test("adds to different groups never conflict, asleep or awake, new or known", async () => {
  const { at, auditor } = await audited({ flushIntervalMs: 200, ...byText });
  const perGroup = events(20).map((event) => [{ ...event, text: `group ${event.n}` }]);
  auditor.clear();
  await addTogether(at, auditor, perGroup);
  expect(describeConflicts(auditor.conflicts(WINDOW_MS))).toBe("0 conflicts");
  await advanceUntil(() => isEmpty(at));
  await advance(1000);
  auditor.clear();
  await addTogether(at, auditor, perGroup);
  expect(describeConflicts(auditor.conflicts(WINDOW_MS))).toBe("0 conflicts");
});

test("runners of different groups never conflict with each other while they work", async () => {
  const { at, auditor } = await audited({ maxBatchSize: 5, ...byText });
  // The first group that goes to sleep schedules the sweep.
  await at.add(events(5));
  await advance(1000);
  watched.ms = 100;
  await at.add(events(60).map((event) => ({ ...event, text: `group ${event.n % 4}` })));
  await advance(150);
  auditor.clear();
  await advance(200);
  expect(auditor.count("batch/flush:settle")).toBeGreaterThan(3);
  expect(describeConflicts(auditor.conflicts(WINDOW_MS))).toBe("0 conflicts");
});

test("items with keys conflict only where two adds have the same key", async () => {
  const { at, auditor } = await audited({ deduplicateBy: ({ text }) => text });
  await at.add(events(1));
  await advance(50);
  vi.spyOn(Math, "random").mockReturnValue(0.99);
  const keyed = events(10).map((event) => [{ ...event, text: `key ${event.n}` }]);
  auditor.clear();
  await addTogether(at, auditor, keyed);
  expect(describeConflicts(auditor.conflicts(WINDOW_MS))).toBe("0 conflicts");
  auditor.clear();
  const [same, other] = [{ n: 1, text: "same" }, { n: 2 }];
  await addTogether(at, auditor, [[same], [same, other]]);
  expect(auditor.conflicts(WINDOW_MS)).toHaveLength(1);
});

test("whoever asks for status, history or a reason makes nobody run again", async () => {
  const { at, auditor } = await audited({ maxBatchSize: 5, flushIntervalMs: 200 });
  watched.ms = 40;
  await at.add(events(50));
  await advance(60);
  auditor.clear();
  for (let i = 0; i < 10; i++) {
    await auditor.transaction("ask", () =>
      at.t.query(async (ctx) => {
        await at.processor.getBatchStatus(ctx, "events");
        await at.processor.getFlushHistory(ctx, "events");
        await at.processor.explain(ctx, "events");
      }),
    );
    await advance(25);
  }
  expect(auditor.count("batch/flush:settle")).toBeGreaterThan(0);
  expect(describeConflicts(auditor.conflicts(WINDOW_MS))).toBe("0 conflicts");
});

test("jobs conflict neither with each other nor with new ones", async () => {
  const { at, auditor } = await audited({});
  await at.t.run(async (ctx) => {
    for (let n = 1; n <= 100; n++) await ctx.db.insert("users", { n });
  });
  auditor.clear();
  for (let job = 1; job <= 5; job++) {
    await auditor.transaction(`start ${job}`, () => at.iterate(10, 5, {}, `job ${job}`));
  }
  await advance(400);
  await auditor.transaction("start 6", () => at.iterate(10, 5, {}, "job 6"));
  await advance(2000);
  expect(auditor.count("batch/pages:checkpoint")).toBe(60);
  expect(describeConflicts(auditor.conflicts(WINDOW_MS))).toBe("0 conflicts");
});

test("the sweep conflicts with no add and no runner", async () => {
  const { at, auditor } = await audited({ historyTtl: 3_600_000, maxBatchSize: 5 });
  await at.add(events(5));
  await advance(3_500_000);
  watched.ms = 500;
  await at.add(events(2000, 10));
  auditor.clear();
  for (let i = 0; i < 40; i++) {
    await auditor.transaction("add", () => at.add(events(5, 3000)));
    await advance(5007);
  }
  expect(auditor.count("batch/sweep:run")).toBe(1);
  const ofSweep = auditor
    .conflicts(WINDOW_MS)
    .filter(({ first, second }) => [first, second].includes("batch/sweep:run"));
  expect(describeConflicts(ofSweep)).toBe("0 conflicts");
});
