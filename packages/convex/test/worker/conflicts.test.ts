import { beforeEach, expect, test } from "vitest";
import workerSchema from "../../src/worker/schema.js";
import { Auditor, describeConflicts } from "../audit/auditor.js";
import { slowTimers } from "../meter.js";
import { advance, useVirtualTime } from "../stage.js";
import schema from "./app/schema.js";
import { watched } from "./app/watched.js";
import { stage } from "./fixture.js";

useVirtualTime();

const worker = import.meta.glob(["../../src/worker/*.ts", "!**/convex.config.ts"]);
const app = import.meta.glob("./app/*.ts");

/** What is scheduled starts later than this: within it, everything is side by side. */
const WINDOW_MS = 15;

beforeEach(() => slowTimers(20));

test("pings of a running worker conflict neither with each other nor with its loop", async () => {
  const at = await stage();
  const auditor = await Auditor.of([
    { path: "worker", modules: worker, schema: workerSchema },
    { path: "", modules: app, schema },
  ]);
  watched.batchSize = 4;
  watched.idle = { cooldownMs: 5000, pollIntervalMs: 50 };
  await at.add(0);
  await advance(60);
  auditor.clear();
  for (let value = 1; value <= 50; value++) {
    await auditor.transaction("ping", () => at.add(value));
    await advance(7);
  }
  expect(auditor.count("worker/loop:turn")).toBeGreaterThan(0);
  // A turn that deletes what a ping inserted came after it: those are no two side by side.
  const own = auditor
    .conflicts(WINDOW_MS)
    .filter(({ reasons }) => reasons.some((one) => !one.includes("/events[id]")));
  expect(describeConflicts(own)).toBe("0 conflicts");
  await advance(10_000);
  expect(await at.handled()).toHaveLength(51);
});
