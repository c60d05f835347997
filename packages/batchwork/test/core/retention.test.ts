import { expect, test } from "vitest";

import { resolveBatchOptions, type ResolvedBatchOptions } from "../../src/core/options.ts";
import { keepsNothing } from "../../src/core/retention.ts";

const UNLIMITED = Number.POSITIVE_INFINITY;

function resolved(given: object): ResolvedBatchOptions {
  const options = { name: "orders", maxSize: 100, maxWaitMs: 10, handler: () => undefined };
  return resolveBatchOptions({ ...options, ...given }, { concurrency: 1 });
}

test.each(["removeOnComplete", "removeOnFail"] as const)("%s says what is kept", (option) => {
  const kept = (value: unknown): unknown => resolved({ [option]: value })[option];
  expect(kept(undefined)).toBeUndefined();
  expect(kept(true)).toEqual({ count: 0, ageMs: UNLIMITED });
  expect(kept(false)).toEqual({ count: UNLIMITED, ageMs: UNLIMITED });
  expect(kept(0)).toEqual({ count: 0, ageMs: UNLIMITED });
  expect(kept(12)).toEqual({ count: 12, ageMs: UNLIMITED });
  expect(kept({ count: 3 })).toEqual({ count: 3, ageMs: UNLIMITED });
  expect(kept({ age: 1.5 })).toEqual({ count: UNLIMITED, ageMs: 1500 });
  expect(kept({ count: 3, age: 60 })).toEqual({ count: 3, ageMs: 60_000 });
});

test("what says nothing that can be kept is refused", () => {
  for (const value of [
    -1,
    1.5,
    "all",
    null,
    [],
    {},
    { ageMs: 1 },
    { count: -1 },
    { count: 1, age: -1 },
    { age: 31_536_001 },
    { age: "1" },
  ]) {
    expect(() => resolved({ removeOnComplete: value })).toThrow(
      /Option removeOnComplete of batch "orders" must be true, false, how many to keep/,
    );
  }
});

test("nothing is kept of a count or an age of 0", () => {
  expect(keepsNothing({ count: 0, ageMs: UNLIMITED })).toBe(true);
  expect(keepsNothing({ count: UNLIMITED, ageMs: 0 })).toBe(true);
  expect(keepsNothing({ count: 1, ageMs: 1 })).toBe(false);
});
