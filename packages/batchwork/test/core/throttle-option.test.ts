import { expect, test } from "vitest";

import { resolveBatchOptions, type ResolvedBatchOptions } from "../../src/core/options.ts";
import { roomFor, windowStart } from "../../src/core/throttle.ts";

function throttleOf(given: object): ResolvedBatchOptions["throttle"] {
  const options = { name: "orders", maxSize: 100, maxWaitMs: 10, handler: () => undefined };
  return resolveBatchOptions({ ...options, ...given }, { concurrency: 1 }).throttle;
}

test("without a throttle there is no limit", () => {
  expect(throttleOf({})).toBeUndefined();
});

test("a throttle has both of its numbers", () => {
  const throttle = { max: 10, duration: 60_000 };
  expect(throttleOf({ throttle })).toEqual({ max: 10, durationMs: 60_000 });
  expect(() => throttleOf({ throttle: { max: 10 } })).toThrow(
    /Option throttle\.duration of batch "orders" is required/,
  );
  expect(() => throttleOf({ throttle: { duration: 1 } })).toThrow(
    /Option throttle\.max of batch "orders" is required/,
  );
});

test("numbers that make no sense are refused", () => {
  for (const throttle of [
    { max: 0, duration: 1 },
    { max: 1.5, duration: 1 },
  ]) {
    expect(() => throttleOf({ throttle })).toThrow(/Option throttle\.max .* from 1 to 1000000/);
  }
  expect(() => throttleOf({ throttle: { max: 1, duration: 0 } })).toThrow(
    /Option throttle\.duration .* from 1 to/,
  );
});

test("a window has room for what it allows, and never less than none", () => {
  const throttle = { max: 3, durationMs: 100 };
  expect([0, 2, 3, 9].map((delivered) => roomFor(throttle, delivered))).toEqual([3, 1, 0, 0]);
  expect(windowStart(throttle, 1000)).toBe(900);
});
