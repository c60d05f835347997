import { expect, test } from "vitest";

import { isNonRetryable, NonRetryableError } from "../../src/core/non-retryable.ts";
import { backoffMs, NO_RETRY, type TaskRetry } from "../../src/core/pool-retry.ts";
import { afterThrow } from "../../src/core/task.ts";

const retry: TaskRetry = { maxAttempts: 3, initialBackoffMs: 100, base: 3, maxBackoffMs: 1000 };

test("each delay is base times the one before, up to the longest", () => {
  expect([1, 2, 3, 4].map((attempt) => backoffMs(retry, attempt, 0))).toEqual([
    100, 300, 900, 1000,
  ]);
});

test("chance takes off up to half of a delay", () => {
  expect(backoffMs(retry, 1, 0.999)).toBe(50);
  expect(backoffMs(retry, 1, 0.5)).toBe(75);
});

test("a power beyond all numbers is the longest delay, and no delay stays none", () => {
  expect(backoffMs({ ...retry, base: 100 }, 10_000, 0)).toBe(1000);
  expect(backoffMs({ ...retry, base: 100, initialBackoffMs: 0 }, 10_000, 0)).toBe(0);
});

test("a task that threw goes on until it is out of attempts", () => {
  expect(afterThrow(new Error("no"), 2, retry, 0)).toMatchObject({
    kind: "again",
    attempt: 3,
    delayMs: 300,
    error: { message: "no" },
  });
  expect(afterThrow(new Error("no"), 3, retry, 0)).toMatchObject({ kind: "dead" });
  expect(afterThrow(new Error("no"), 1, NO_RETRY, 0)).toMatchObject({ kind: "dead" });
});

test("an error that says so ends a task at its first attempt", () => {
  expect(afterThrow(new NonRetryableError("gone"), 1, retry, 0)).toMatchObject({
    kind: "dead",
    error: { name: "NonRetryableError", message: "gone" },
  });
});

test("another copy of the package makes such errors too", () => {
  const foreign = Object.assign(new Error("gone"), { name: "NonRetryableError" });
  expect(isNonRetryable(foreign)).toBe(true);
  expect(isNonRetryable({ name: "NonRetryableError" })).toBe(false);
  expect(isNonRetryable(new Error("no"))).toBe(false);
});
