import { describe, expect, test } from "vitest";

import {
  adaptedSize,
  askedSize,
  GROWTH_MAX,
  type MeasuredDelivery,
  type SizeTarget,
} from "../../src/core/adaptive-size.ts";

const TARGET: SizeTarget = { durationMs: 1000, minSize: 1, maxSize: 1000 };

function delivery(count: number, durationMs: number): MeasuredDelivery {
  return { count, durationMs, succeeded: true, timedOut: false };
}

describe("the size of batches", () => {
  test("grows by a tenth at most after a full batch that left time", () => {
    expect(adaptedSize(128, TARGET, delivery(128, 10))).toBe(140);
    expect(adaptedSize(3, TARGET, delivery(3, 10))).toBe(4);
    for (let size = 10; size < 1000; size++) {
      const grown = adaptedSize(size, TARGET, delivery(size, 0));
      expect(grown).toBeGreaterThan(size);
      expect(grown).toBeLessThanOrEqual(size * (1 + GROWTH_MAX));
    }
  });

  test("grows no further than what would just take the time at the pace measured", () => {
    expect(adaptedSize(128, TARGET, delivery(128, 950))).toBe(134);
    expect(adaptedSize(128, TARGET, delivery(128, 1000))).toBe(128);
  });

  test("grows after a batch that was as full as it was asked for", () => {
    expect(askedSize(140, TARGET)).toBe(128);
    expect(adaptedSize(140, TARGET, delivery(128, 10))).toBe(154);
    expect(adaptedSize(140, TARGET, delivery(127, 10))).toBe(140);
  });

  test("halves at once after a batch that took too long, whether or not it was full", () => {
    expect(adaptedSize(128, TARGET, delivery(128, 1001))).toBe(64);
    expect(adaptedSize(128, TARGET, delivery(3, 1001))).toBe(64);
    const failed = { count: 128, durationMs: 1001, succeeded: false, timedOut: false };
    expect(adaptedSize(128, TARGET, failed)).toBe(64);
  });

  test("halves after a timeout, however short", () => {
    const timedOut = { count: 128, durationMs: 5, succeeded: false, timedOut: true };
    expect(adaptedSize(128, TARGET, timedOut)).toBe(64);
  });

  test("is halved once by several batches that ran beside each other", () => {
    let size = 128;
    for (let n = 0; n < 5; n++) size = adaptedSize(size, TARGET, delivery(128, 2000));
    expect(size).toBe(64);
  });

  test("stays where it is after a failure, which says nothing about how long the work takes", () => {
    const failed = { count: 128, durationMs: 5, succeeded: false, timedOut: false };
    expect(adaptedSize(128, TARGET, failed)).toBe(128);
  });

  test("stays between minSize and maxSize", () => {
    const target = { durationMs: 100, minSize: 7, maxSize: 50 };
    expect(adaptedSize(8, target, delivery(8, 500))).toBe(7);
    expect(adaptedSize(49, target, delivery(49, 1))).toBe(50);
    expect(adaptedSize(50, target, delivery(50, 1))).toBe(50);
  });

  test("settles where a batch takes the time that was asked for, and stays there", () => {
    let size = 1;
    const asked: number[] = [];
    for (let n = 0; n < 200; n++) {
      const count = askedSize(size, TARGET);
      asked.push(count);
      size = adaptedSize(size, TARGET, delivery(count, count * 2));
    }
    expect(Math.max(...asked)).toBeLessThanOrEqual(500);
    expect(new Set(asked.slice(-100))).toEqual(new Set([384]));
  });
});

describe("the size that is asked for", () => {
  test("is one of few steps", () => {
    const steps = new Set(Array.from({ length: 999 }, (_, n) => askedSize(n + 1, TARGET)));
    expect([...steps]).toEqual([
      1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768,
    ]);
  });

  test("is minSize or maxSize where those are between two steps", () => {
    const target = { durationMs: 100, minSize: 7, maxSize: 50 };
    expect(askedSize(7, target)).toBe(7);
    expect(askedSize(9, target)).toBe(8);
    expect(askedSize(49, target)).toBe(48);
    expect(askedSize(50, target)).toBe(50);
  });
});
