import { describe, expect, test } from "vitest";

import { afterCrash, afterRevival, hasExpired, isDeadly, nextToken } from "../../src/core/lease.ts";

const FRESH = { suspect: false, crashes: 0 };

describe("a lease", () => {
  test("has a larger token with every claim", () => {
    expect(nextToken(0)).toBe(1);
    expect(nextToken(41)).toBe(42);
  });

  test("runs out exactly at its end", () => {
    expect(hasExpired(1000, 999)).toBe(false);
    expect(hasExpired(1000, 1000)).toBe(true);
  });
});

describe("the death of an owner", () => {
  test("makes its batches suspects, and counts against none that had company", () => {
    expect(afterCrash(FRESH, false)).toEqual({ suspect: true, crashes: 0 });
  });

  test("counts against a batch that was alone", () => {
    const suspect = afterCrash(FRESH, false);
    expect(afterCrash(suspect, true)).toEqual({ suspect: true, crashes: 1 });
  });

  test("kills a batch that was alone maxCrashes times, and none before", () => {
    let record = afterCrash(FRESH, false);
    const deadly: boolean[] = [];
    for (let crash = 0; crash < 3; crash++) {
      record = afterCrash(record, true);
      deadly.push(isDeadly(record, 3));
    }
    expect(deadly).toEqual([false, false, true]);
  });

  test("that turns out to be alive changes nothing in the end", () => {
    const suspect = { suspect: true, crashes: 0 };
    const twice = { suspect: true, crashes: 2 };
    // Suspects run alone and others do not, so these are all there are.
    expect(afterRevival(afterCrash(FRESH, false), false)).toEqual(FRESH);
    expect(afterRevival(afterCrash(suspect, true), true)).toEqual(suspect);
    expect(afterRevival(afterCrash(twice, true), true)).toEqual(twice);
  });

  test("never leaves a negative count", () => {
    expect(afterRevival(FRESH, true).crashes).toBe(0);
  });
});
