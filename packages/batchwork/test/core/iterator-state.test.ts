import { describe, expect, test } from "vitest";

import { progressOf } from "../../src/core/iterator-progress.ts";
import {
  afterFailure,
  afterPage,
  backoffMs,
  firstState,
  pageSize,
  patienceMs,
  type JobState,
  type PageEnd,
  type PageLimits,
} from "../../src/core/iterator-state.ts";

const SETTINGS = { batchSize: null, partitions: 1, dryRun: false, total: null };
const LIMITS: PageLimits = { batchSize: 100, minBatchSize: 1, targetMs: undefined };
const ADAPTIVE: PageLimits = { batchSize: 100, minBatchSize: 10, targetMs: 1000 };

function state(over: Partial<JobState> = {}): JobState {
  return { ...firstState({ phase: "walk", settings: SETTINGS, total: null }), ...over };
}

function end(over: Partial<PageEnd> = {}): PageEnd {
  return { count: 100, durationMs: 10, now: 0, delayMs: 0, failed: 0, wouldChange: 0, ...over };
}

test("a page has batchSize items, or what the job says", () => {
  expect(pageSize(state(), LIMITS)).toBe(100);
  expect(pageSize(state({ settings: { ...SETTINGS, batchSize: 7 } }), LIMITS)).toBe(7);
});

test("the wait doubles from one second to thirty", () => {
  expect([1, 2, 3, 4, 5, 6, 7, 100].map(backoffMs)).toEqual([
    1000, 2000, 4000, 8000, 16_000, 30_000, 30_000, 30_000,
  ]);
});

describe("items that failed together", () => {
  /** How often a page is tried until the one bad item of it is alone. */
  function pagesUntilAlone(bad: number): number {
    let now = afterFailure(state(), LIMITS, { count: 100, durationMs: 1, timedOut: false }, true);
    let at = 0;
    for (let pages = 1; ; pages++) {
      const count = Math.min(pageSize(now, LIMITS), 100 - at);
      const holdsBad = bad >= at && bad < at + count;
      if (holdsBad && count === 1) return pages;
      if (holdsBad) {
        now = afterFailure(now, LIMITS, { count, durationMs: 1, timedOut: false }, true);
      } else {
        at += count;
        now = afterPage(now, LIMITS, end({ count }));
      }
    }
  }

  test("are halved until the bad one is alone", () => {
    for (let bad = 0; bad < 100; bad++) expect(pagesUntilAlone(bad)).toBeLessThanOrEqual(8);
  });

  test("do not bound pages behind the bad one", () => {
    const alone = afterPage(state({ window: 40 }), LIMITS, end({ count: 1, failed: 1 }));
    expect(pageSize(alone, LIMITS)).toBe(100);
    expect(alone).toMatchObject({ handed: 1, handedInRow: 1, window: null, processed: 1 });
  });

  test("stay known through an attempt at the whole page that fails again", () => {
    const failed = { count: 50, durationMs: 1, timedOut: false };
    expect(afterFailure(state({ window: 7 }), LIMITS, failed, false).window).toBe(7);
  });
});

test("one bad item after the other has the job wait longer and longer", () => {
  const waits = [0, 1, 3, 4, 5, 6, 50].map((handedInRow) => patienceMs(state({ handedInRow })));
  expect(waits).toEqual([0, 0, 0, 1000, 2000, 4000, 30_000]);
  const good = afterPage(state({ handedInRow: 9 }), LIMITS, end());
  expect(good.handedInRow).toBe(0);
});

describe("with a target, a page", () => {
  test("begins small, grows by a tenth at most, and never past batchSize", () => {
    let now = state();
    const sizes: number[] = [];
    for (let n = 0; n < 40; n++) {
      const size = pageSize(now, ADAPTIVE);
      sizes.push(size);
      now = afterPage(now, ADAPTIVE, end({ count: size, durationMs: 1 }));
    }
    expect(sizes.slice(0, 4)).toEqual([10, 11, 12, 13]);
    expect(sizes.at(-1)).toBe(100);
  });

  test("halves at once when it took too long, or timed out", () => {
    const slow = afterPage(state({ size: 80 }), ADAPTIVE, end({ count: 80, durationMs: 1500 }));
    expect(pageSize(slow, ADAPTIVE)).toBe(40);
    const failed = { count: 40, durationMs: 20, timedOut: true };
    expect(pageSize(afterFailure(slow, ADAPTIVE, failed, false), ADAPTIVE)).toBe(20);
  });

  test("is never larger than a batchSize that became smaller in mid-run", () => {
    expect(pageSize(state({ size: 80 }), { ...ADAPTIVE, batchSize: 30 })).toBe(30);
    const smaller = { ...ADAPTIVE, batchSize: 30 };
    expect(afterPage(state({ size: 80 }), smaller, end({ count: 30 })).size).toBe(30);
  });
});

test("the rate follows the last pages, and the rest of the time from it", () => {
  const first = afterPage(state(), LIMITS, end({ now: 5000, durationMs: 60, delayMs: 40 }));
  expect(first.rate).toBe(1000);
  const second = afterPage(first, LIMITS, end({ now: 5050 }));
  expect(second.rate).toBe(1200);
  // A clock that was set, and a pause, say nothing.
  expect(afterPage(second, LIMITS, end({ now: 4000 })).rate).toBe(1200);
  const paused = afterPage(second, LIMITS, end({ now: 5050 + 3_600_000 }));
  expect(paused).toMatchObject({ rate: 1200, writtenAt: 3_605_050 });
  expect(afterPage(state(), LIMITS, end({ durationMs: 0 })).rate).toBeNull();
});

test.each([
  ["nothing known", 50, null, 10, { percent: null, ratePerSecond: 10, etaMs: null }],
  ["half way", 50, 100, 10, { percent: 50, ratePerSecond: 10, etaMs: 5000 }],
  ["no rate yet", 0, 100, null, { percent: 0, ratePerSecond: null, etaMs: null }],
  ["standing still", 5, 100, 0, { percent: 5, ratePerSecond: 0, etaMs: null }],
  ["more than there were", 150, 100, 10, { percent: 100, ratePerSecond: 10, etaMs: 0 }],
  ["an empty table", 0, 0, 10, { percent: 100, ratePerSecond: 10, etaMs: 0 }],
] as const)("progress: %s", (_name, processed, total, rate, expected) => {
  expect(progressOf(processed, total, rate)).toEqual(expected);
});
