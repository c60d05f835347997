import { expect, test } from "vitest";

import { Pressure } from "../../src/runtime/pressure.ts";
import { ManualClock } from "../../src/testing/manual-clock.ts";
import { ProcessClock } from "./fixture.ts";

const MIB = 1024 * 1024;
const roomy = { heapUsed: () => 0, heapLimit: () => 100 * MIB };

test("a heap beyond its limit holds a process back until it is smaller again", () => {
  let used = 10 * MIB;
  const limits = { maxHeapMB: 50, maxLoopLagMs: 250 };
  const measured = { heapUsed: () => used, heapLimit: () => 100 * MIB };
  const pressure = new Pressure(new ManualClock(), limits, measured);
  expect(pressure.held()).toBeNull();
  used = 51 * MIB;
  expect(pressure.held()).toBe("heap");
  used = 50 * MIB;
  expect(pressure.held()).toBeNull();
});

test("without a limit of its own it is seven tenths of what the heap may grow to", () => {
  let used = 70 * MIB;
  const limits = { maxHeapMB: undefined, maxLoopLagMs: 250 };
  const measured = { heapUsed: () => used, heapLimit: () => 100 * MIB };
  const pressure = new Pressure(new ManualClock(), limits, measured);
  expect(pressure.held()).toBeNull();
  used += 1;
  expect(pressure.held()).toBe("heap");
});

test("Infinity asks for nothing", () => {
  const limits = {
    maxHeapMB: Number.POSITIVE_INFINITY,
    maxLoopLagMs: Number.POSITIVE_INFINITY,
  };
  const clock = new ManualClock();
  const asked = { heapUsed: () => Number.POSITIVE_INFINITY, heapLimit: () => 1 };
  const pressure = new Pressure(clock, limits, asked);
  pressure.watch(() => true);
  expect([pressure.held(), clock.timerCount]).toEqual([null, 0]);
});

test("an event loop that is late holds a process back until a timer is in time", async () => {
  const time = new ManualClock();
  const clock = new ProcessClock(time);
  const pressure = new Pressure(clock, { maxHeapMB: undefined, maxLoopLagMs: 100 }, roomy);
  pressure.watch(() => true);
  await time.advance(50);
  expect(pressure.held()).toBeNull();
  clock.freeze();
  await time.advance(400);
  // The timer is late right now, before it has fired.
  expect(pressure.held()).toBe("event loop");
  clock.thaw();
  expect(pressure.held()).toBe("event loop");
  await time.advance(50);
  expect(pressure.held()).toBeNull();
});

test("the event loop is measured only while something runs, and no longer after stop", async () => {
  const clock = new ManualClock();
  const pressure = new Pressure(clock, { maxHeapMB: undefined, maxLoopLagMs: 100 }, roomy);
  let busy = true;
  pressure.watch(() => busy);
  pressure.watch(() => busy);
  expect(clock.timerCount).toBe(1);
  await clock.advance(500);
  expect(clock.timerCount).toBe(1);
  busy = false;
  await clock.advance(50);
  expect(clock.timerCount).toBe(0);
  pressure.watch(() => true);
  pressure.stop();
  expect(clock.timerCount).toBe(0);
});
