/** The small parts that decide when something runs: wake-ups, intervals, the real clock, the gate. */
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";

import { systemClock } from "../../src/runtime/clock.ts";
import { Gate } from "../../src/runtime/gate.ts";
import { WaitingCounts } from "../../src/runtime/waiting.ts";
import { Every, Signal, Wake } from "../../src/runtime/wake.ts";
import { ManualClock } from "../../src/testing/manual-clock.ts";

describe("Wake", () => {
  test("requests of one turn share one call", async () => {
    const clock = new ManualClock();
    let runs = 0;
    const wake = new Wake(clock, () => void runs++);
    for (let n = 0; n < 10; n++) wake.now();
    expect(runs).toBe(0);
    await clock.settle();
    expect(runs).toBe(1);
    wake.now();
    await clock.settle();
    expect(runs).toBe(2);
  });

  test("of several times only the earliest is kept", async () => {
    const clock = new ManualClock();
    const at: number[] = [];
    const wake = new Wake(clock, () => void at.push(clock.monotonicMs()));
    for (const ms of [500, 100, 300]) wake.within(ms);
    expect(clock.timerCount).toBe(1);
    await clock.advance(1000);
    expect(at).toEqual([100]);
    wake.within(300);
    await clock.advance(1000);
    expect(at).toEqual([100, 1300]);
  });

  test("after stop nothing is called, not even what was asked for before", async () => {
    const clock = new ManualClock();
    const run = vi.fn<() => void>();
    const wake = new Wake(clock, run);
    wake.now();
    wake.within(10);
    wake.stop();
    wake.now();
    wake.within(10);
    await clock.advance(1000);
    expect(run).not.toHaveBeenCalled();
    expect(clock.timerCount).toBe(0);
  });
});

describe("Signal", () => {
  test("wakes everybody who waits, once", async () => {
    const signal = new Signal();
    const woken: number[] = [];
    for (const n of [1, 2]) void signal.wait().then(() => woken.push(n));
    signal.notify();
    void signal.wait().then(() => woken.push(3));
    await Promise.resolve();
    expect(woken).toEqual([1, 2]);
  });
});

describe("Every", () => {
  test("the next wait starts when the call has ended, so no two overlap", async () => {
    const clock = new ManualClock();
    const starts: number[] = [];
    const every = new Every(clock, 100, async () => {
      starts.push(clock.monotonicMs());
      await new Promise<void>((resolve) => {
        clock.after(250, resolve);
      });
    });
    every.start();
    await clock.advance(1000);
    expect(starts).toEqual([100, 450, 800]);
  });

  test("stop takes back the timer and waits for the call that is under way", async () => {
    const clock = new ManualClock();
    let ended = 0;
    const every = new Every(clock, 100, async () => {
      await new Promise<void>((resolve) => {
        clock.after(50, resolve);
      });
      ended++;
    });
    every.start();
    await clock.advance(120);
    const stopping = every.stop();
    await clock.settle();
    expect(ended).toBe(0);
    await clock.advance(1000);
    await clock.run(stopping);
    expect(ended).toBe(1);
    expect(clock.timerCount).toBe(0);
  });
});

describe("the system's clock", () => {
  beforeEach(() => {
    vi.useFakeTimers();
  });
  afterEach(() => {
    vi.useRealTimers();
  });

  test("a wait that does not fit into 31 bits is not cut short", () => {
    const fn = vi.fn<() => void>();
    const month = 30 * 24 * 60 * 60 * 1000;
    systemClock.after(2 * month, fn);
    vi.advanceTimersByTime(2 * month - 1);
    expect(fn).not.toHaveBeenCalled();
    vi.advanceTimersByTime(1);
    expect(fn).toHaveBeenCalled();
  });

  test("a timer can be taken back, also in its second leg", () => {
    const fn = vi.fn<() => void>();
    const week = 7 * 24 * 60 * 60 * 1000;
    const timer = systemClock.after(8 * week, fn);
    vi.advanceTimersByTime(5 * week);
    timer.cancel();
    vi.advanceTimersByTime(100 * week);
    expect(fn).not.toHaveBeenCalled();
    expect(vi.getTimerCount()).toBe(0);
  });
});

describe("Gate", () => {
  test("a suspect that waits keeps new batches out until the process is idle", () => {
    const gate = new Gate();
    const [a, b] = [{}, {}];
    const called: string[] = [];
    gate.whenFree(a, () => void called.push("a"));
    gate.whenFree(b, () => void called.push("b"));
    gate.enter(false);
    expect(gate.ask(a)).toBe(false);
    gate.answer(a, true);
    expect([gate.isOpenFor(a), gate.isOpenFor(b)]).toEqual([false, false]);
    gate.leave(false);
    expect(called).toEqual(["a", "b"]);
    expect(gate.ask(a)).toBe(true);
    gate.enter(true);
    gate.answer(a, false);
    expect([gate.isOpenFor(a), gate.isOpenFor(b)]).toEqual([false, false]);
    gate.leave(true);
    expect([gate.isOpenFor(a), gate.isOpenFor(b)]).toEqual([true, true]);
  });

  test("while one asks for a suspect nobody else may start, and is called when that is over", () => {
    const gate = new Gate();
    const [a, b] = [{}, {}];
    const called: string[] = [];
    gate.whenFree(a, () => void called.push("a"));
    gate.whenFree(b, () => void called.push("b"));
    expect(gate.ask(a)).toBe(true);
    expect([gate.isOpenFor(a), gate.isOpenFor(b), gate.ask(b)]).toEqual([true, false, false]);
    gate.answer(a, false);
    // Only the one that was refused: two that call each other would go round for ever.
    expect(called).toEqual(["b"]);
    expect(gate.isOpenFor(b)).toBe(true);
  });
});

describe("WaitingCounts", () => {
  const CAPS = { maxSize: 10, maxBytes: 100 };

  test("a group looks full by count or by bytes, each group by itself", () => {
    const counts = new WaitingCounts(CAPS);
    expect(counts.add("a", 9, 9)).toBe(false);
    expect(counts.add("b", 9, 99)).toBe(false);
    expect(counts.add("a", 1, 1)).toBe(true);
    expect(counts.add("b", 0, 1)).toBe(true);
  });

  test("what a claim leaves behind is counted on", () => {
    const counts = new WaitingCounts(CAPS);
    counts.add("a", 13, 60);
    counts.ask();
    counts.sealed({ group: "a", count: 10, bytes: 50, left: 3 });
    counts.answered(true);
    expect(counts.add("a", 6, 6)).toBe(false);
    expect(counts.add("a", 1, 1)).toBe(true);
    expect(new WaitingCounts(CAPS).add("a", 7, 83)).toBe(false);
    expect(counts.add("a", 0, 83)).toBe(true);
  });

  test("what is committed while a look is under way is not forgotten", () => {
    const counts = new WaitingCounts(CAPS);
    counts.add("a", 10, 10);
    counts.ask();
    counts.add("a", 4, 4);
    counts.sealed({ group: "a", count: 10, bytes: 10, left: 0 });
    counts.answered(true);
    expect(counts.add("a", 5, 5)).toBe(false);
    expect(counts.add("a", 1, 1)).toBe(true);
  });

  test("a full group that nobody could claim has gone to another process", () => {
    const counts = new WaitingCounts(CAPS);
    counts.add("a", 10, 10);
    counts.ask();
    counts.answered(true);
    expect(counts.add("a", 9, 9)).toBe(false);
  });

  test("a look that failed, or ran out of places, leaves a full group full", () => {
    const counts = new WaitingCounts(CAPS);
    counts.add("a", 10, 10);
    counts.ask();
    counts.answered(false);
    expect(counts.add("a", 1, 1)).toBe(true);
    counts.ask();
    counts.answered(true);
    expect(counts.add("a", 9, 9)).toBe(false);
  });
});
