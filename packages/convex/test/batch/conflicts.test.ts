import { afterEach, beforeEach, expect, test, vi } from "vitest";
import batchSchema from "../../src/batch/schema.js";
import { Auditor, describeConflicts } from "../audit/auditor.js";
import { slowTimers } from "../meter.js";
import { advance, advanceUntil, useVirtualTime } from "../stage.js";
import schema from "./app/schema.js";
import { watched } from "./app/watched.js";
import { events, isEmpty, stage } from "./fixture.js";

useVirtualTime();

const batch = import.meta.glob(["../../src/batch/*.ts", "!**/convex.config.ts"]);
const app = import.meta.glob("./app/*.ts");

/** What is scheduled starts later than this: within it, everything is side by side. */
const WINDOW_MS = 15;

beforeEach(() => slowTimers(20));

afterEach(() => vi.restoreAllMocks());

test("adds to a batch that is awake conflict neither with each other nor with its runner", async () => {
  const at = await stage({ maxBatchSize: 10, flushIntervalMs: 200 });
  const auditor = await Auditor.of([
    { path: "batch", modules: batch, schema: batchSchema },
    { path: "", modules: app, schema },
  ]);
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
  expect(describeConflicts(ofAdds)).toBe("0 conflicts");
  await advanceUntil(() => isEmpty(at));
  expect(watched.done.flat()).toHaveLength(63);
});
