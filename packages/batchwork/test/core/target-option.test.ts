import { expect, test } from "vitest";

import { resolveBatchOptions, type ResolvedBatchOptions } from "../../src/core/options.ts";

function targetOf(given: object): ResolvedBatchOptions["target"] {
  const options = { name: "orders", maxSize: 100, maxWaitMs: 10, handler: () => undefined };
  return resolveBatchOptions({ ...options, ...given }, { concurrency: 1 }).target;
}

test("without a target, sizes follow nothing", () => {
  expect(targetOf({})).toBeUndefined();
});

test("minSize is 1 unless given, and at most maxSize", () => {
  expect(targetOf({ target: { durationMs: 500 } })).toEqual({ durationMs: 500, minSize: 1 });
  const given = { target: { durationMs: 500 }, minSize: 100 };
  expect(targetOf(given)).toEqual({ durationMs: 500, minSize: 100 });
  expect(() => targetOf({ ...given, minSize: 101 })).toThrow(
    'Option minSize of batch "orders" must be at most maxSize (100), not 101.',
  );
});

test("minSize without a target means nothing, and is refused", () => {
  expect(() => targetOf({ minSize: 5 })).toThrow(/Option minSize .* needs target/);
});

test("a target needs its duration", () => {
  expect(() => targetOf({ target: {} })).toThrow(/Option target\.durationMs .* is required/);
  expect(() => targetOf({ target: { durationMs: 0 } })).toThrow(/a whole number from 1 to/);
});
