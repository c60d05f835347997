import fc from "fast-check";
import { describe, expect, test } from "vitest";

import {
  dueReason,
  fitCount,
  groupLookAt,
  lookAt,
  type GroupState,
  type Waiting,
} from "../../src/core/flush.ts";

const CAPS = { maxSize: 10, maxBytes: 1000 };
const WAITING: Waiting = { items: 3, bytes: 30, dueAt: 500, flushed: false };
const GROUP: GroupState = { ...WAITING, active: 0, readyAt: null };
const NOTHING = { items: 0, bytes: 0, dueAt: 0, flushed: true };

describe("a group", () => {
  test("is not due before its oldest item has waited long enough", () => {
    expect(dueReason(WAITING, CAPS, 499)).toBeNull();
    expect(dueReason(WAITING, CAPS, 500)).toBe("time");
    expect(dueReason(WAITING, CAPS, 9000)).toBe("time");
  });

  test("is due at once when it holds maxSize items", () => {
    expect(dueReason({ ...WAITING, items: 9 }, CAPS, 0)).toBeNull();
    expect(dueReason({ ...WAITING, items: 10 }, CAPS, 0)).toBe("size");
    expect(dueReason({ ...WAITING, items: 11 }, CAPS, 0)).toBe("size");
  });

  test("is due at once when it holds maxBytes", () => {
    expect(dueReason({ ...WAITING, bytes: 999 }, CAPS, 0)).toBeNull();
    expect(dueReason({ ...WAITING, bytes: 1000 }, CAPS, 0)).toBe("bytes");
    const uncapped = { ...CAPS, maxBytes: Number.POSITIVE_INFINITY };
    expect(dueReason({ ...WAITING, bytes: 1e15 }, uncapped, 0)).toBeNull();
  });

  test("is due at once when flush() asked for it", () => {
    expect(dueReason({ ...WAITING, flushed: true }, CAPS, 0)).toBe("flush");
  });

  test("says the first of several reasons: size, bytes, flush, time", () => {
    const all = { items: 10, bytes: 1000, dueAt: 0, flushed: true };
    expect(dueReason(all, CAPS, 1)).toBe("size");
    expect(dueReason({ ...all, items: 9 }, CAPS, 1)).toBe("bytes");
    expect(dueReason({ ...all, items: 9, bytes: 1 }, CAPS, 1)).toBe("flush");
  });

  test("in which nothing waits is never due", () => {
    expect(dueReason(NOTHING, CAPS, 9000)).toBeNull();
    expect(lookAt(NOTHING, CAPS, 9000)).toBeNull();
  });

  test("is looked at when it is due: now, or when its oldest item is", () => {
    expect(lookAt(WAITING, CAPS, 499)).toBe(500);
    expect(lookAt(WAITING, CAPS, 501)).toBe(501);
    expect(lookAt({ ...WAITING, items: 10 }, CAPS, 7)).toBe(7);
  });
});

describe("a claim", () => {
  test("does not look at a group that runs as much as it may", () => {
    expect(groupLookAt({ ...GROUP, active: 1, readyAt: 0 }, CAPS, 1, 900)).toBeNull();
    expect(groupLookAt({ ...GROUP, active: 1 }, CAPS, 2, 900)).toBe(900);
    expect(groupLookAt({ ...GROUP, active: 99 }, CAPS, Number.POSITIVE_INFINITY, 900)).toBe(900);
  });

  test("looks at it when its items are due or a batch may try again, whichever is first", () => {
    expect(groupLookAt(GROUP, CAPS, 1, 0)).toBe(500);
    expect(groupLookAt({ ...GROUP, readyAt: 200 }, CAPS, 1, 0)).toBe(200);
    expect(groupLookAt({ ...GROUP, readyAt: 800 }, CAPS, 1, 0)).toBe(500);
    expect(groupLookAt({ ...GROUP, ...NOTHING, readyAt: 800 }, CAPS, 1, 0)).toBe(800);
    expect(groupLookAt({ ...GROUP, ...NOTHING }, CAPS, 1, 0)).toBeNull();
  });

  test("never sleeps past the moment at which a group becomes due", () => {
    const waiting = fc.record({
      items: fc.nat(20),
      bytes: fc.nat(2000),
      dueAt: fc.nat(1000),
      flushed: fc.boolean(),
    });
    fc.assert(
      fc.property(waiting, fc.nat(1000), fc.nat(1000), (state, now, later) => {
        const at = lookAt(state, CAPS, now);
        const due = dueReason(state, CAPS, now + later) !== null;
        expect(!due || (at !== null && at <= now + later)).toBe(true);
        expect(at === null || dueReason(state, CAPS, at) !== null).toBe(true);
      }),
      { numRuns: 2000 },
    );
  });
});

describe("filling a batch", () => {
  test("takes items while they fit", () => {
    expect(fitCount([10, 10, 10], { items: 2, bytes: 100 }, true)).toBe(2);
    expect(fitCount([10, 10, 10], { items: 9, bytes: 20 }, true)).toBe(2);
    expect(fitCount([10, 10, 10], { items: 9, bytes: 19 }, false)).toBe(1);
    expect(fitCount([10, 10], { items: 9, bytes: Number.POSITIVE_INFINITY }, false)).toBe(2);
    expect(fitCount([], { items: 9, bytes: 9 }, true)).toBe(0);
    expect(fitCount([1], { items: 0, bytes: 9 }, true)).toBe(0);
  });

  test("takes an item that is too large only into an empty batch, and alone", () => {
    expect(fitCount([50, 1], { items: 9, bytes: 20 }, true)).toBe(1);
    expect(fitCount([50, 1], { items: 9, bytes: 20 }, false)).toBe(0);
    expect(fitCount([5, 50], { items: 9, bytes: 20 }, true)).toBe(1);
  });

  test("takes as many as possible, and never more than fit", () => {
    const sizes = fc.array(fc.nat(100), { maxLength: 30 });
    fc.assert(
      fc.property(sizes, fc.nat(30), fc.nat(1000), fc.boolean(), (all, items, bytes, empty) => {
        const count = fitCount(all, { items, bytes }, empty);
        const total = (n: number): number => all.slice(0, n).reduce((sum, size) => sum + size, 0);
        expect(count).toBeLessThanOrEqual(Math.min(items, all.length));
        expect(total(count) <= bytes || (empty && count === 1)).toBe(true);
        const full = count === Math.min(items, all.length);
        expect(full || total(count + 1) > bytes).toBe(true);
      }),
      { numRuns: 2000 },
    );
  });
});
