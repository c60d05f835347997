import fc from "fast-check";
import { describe, expect, test } from "vitest";

import { advanceClock, type ClockReading } from "../../src/core/clock.ts";

describe("the storage clock", () => {
  test("follows wall time", () => {
    expect(advanceClock({ at: 1000, monotonicMs: 5 }, 0, 1200, 10)).toEqual({
      at: 1200,
      monotonicMs: 10,
    });
  });

  test("goes on by monotonic time when wall time was set back", () => {
    const reading = advanceClock({ at: 10_000, monotonicMs: 5 }, 0, 100, 255);
    expect(reading).toEqual({ at: 10_250, monotonicMs: 255 });
  });

  test("never falls behind what another process has stored", () => {
    expect(advanceClock({ at: 10, monotonicMs: 0 }, 99_999, 100, 5).at).toBe(99_999);
  });

  test("does not run back when monotonic time does", () => {
    expect(advanceClock({ at: 10_000, monotonicMs: 500 }, 0, 0, 100).at).toBe(10_000);
  });

  test("does not stop when it is read more often than once in a millisecond", () => {
    let reading: ClockReading = { at: 10_000, monotonicMs: 0 };
    for (let n = 1; n <= 10_000; n++) reading = advanceClock(reading, 0, 100, n / 4);
    expect(reading.at).toBe(12_500);
  });

  test("never runs back and never stops, whatever the clocks underneath do", () => {
    const step = fc.record({
      elapsed: fc.double({ min: 0, max: 5000, noNaN: true }),
      wall: fc.integer({ min: 0, max: 10_000_000 }),
      stored: fc.integer({ min: 0, max: 10_000_000 }),
    });
    fc.assert(
      fc.property(fc.array(step, { minLength: 1, maxLength: 100 }), (steps) => {
        const first = { at: 5_000_000, monotonicMs: 0 };
        let last: ClockReading = first;
        let monotonic = 0;
        for (const { elapsed, wall, stored } of steps) {
          monotonic += elapsed;
          const next = advanceClock(last, stored, wall, monotonic);
          expect(Number.isInteger(next.at)).toBe(true);
          expect(next.at).toBeGreaterThanOrEqual(Math.max(last.at, wall, stored));
          last = next;
        }
        expect(last.at).toBeGreaterThan(first.at + monotonic - 1.001);
      }),
      { numRuns: 1000 },
    );
  });
});
