import { expect, test } from "vitest";

import {
  checkParallelism,
  resolveHandlerOptions,
  resolvePoolOptions,
  type ResolvedPoolOptions,
} from "../../src/core/pool-options.ts";
import { NO_RETRY } from "../../src/core/pool-retry.ts";
import { resolveTaskOptions } from "../../src/core/task-options.ts";

function poolOf(given: object): ResolvedPoolOptions {
  const handlers = { send: () => undefined };
  return resolvePoolOptions({ name: "emails", handlers, ...given });
}

test("a name and handlers are all that a pool needs", () => {
  expect(poolOf({})).toEqual({
    name: "emails",
    maxParallelism: 10,
    maxConcurrencyPerWorker: 1000,
    maxBytesPerWorker: 67_108_864,
    maxHeapMB: undefined,
    maxLoopLagMs: 250,
    retry: NO_RETRY,
    timeout: undefined,
    concurrencyPerKey: 1,
    throttle: undefined,
    maxPending: undefined,
    version: 1,
    ttl: 86_400_000,
    keyTtlMs: 86_400_000,
    persist: true,
    tags: [],
    deadLetter: { enabled: false },
  });
});

test("what is given is taken, 0 for a pause and Infinity for no limit as well", () => {
  const given = {
    maxParallelism: 0,
    maxConcurrencyPerWorker: 5,
    maxBytesPerWorker: Number.POSITIVE_INFINITY,
    maxHeapMB: Number.POSITIVE_INFINITY,
    maxLoopLagMs: Number.POSITIVE_INFINITY,
    timeout: 1000,
    concurrencyPerKey: 3,
    version: 7,
    ttl: Number.POSITIVE_INFINITY,
    keyTtlMs: 0,
    persist: false,
    tags: ["mail"],
    deadLetter: { enabled: true },
  };
  expect(poolOf(given)).toMatchObject(given);
  const throttle = { max: 2, duration: 10 };
  expect(poolOf({ throttle }).throttle).toEqual({ max: 2, durationMs: 10 });
});

test("maxPending limits tasks, bytes or both, and rejects unless told to wait", () => {
  const most = Number.POSITIVE_INFINITY;
  const { maxPending } = poolOf({ maxPending: { items: 5 } });
  expect(maxPending).toEqual({ items: 5, bytes: most, policy: "reject" });
  expect(poolOf({ maxPending: { bytes: 7, policy: "wait" } }).maxPending).toEqual({
    items: most,
    bytes: 7,
    policy: "wait",
  });
});

test.each([
  ["name", { name: "a b" }, /Option name of pool "a b" must be a string of 1 to 128/],
  ["no name", { name: undefined }, /Option name of a pool is required/],
  ["handlers", { handlers: {} }, /handlers of pool "emails" must be an object of at least one/],
  ["no handlers", { handlers: 1 }, /handlers of pool "emails" must be an object of at least one/],
  ["null", { handlers: null }, /handlers of pool "emails" must be an object of at least one/],
  ["maxParallelism", { maxParallelism: -1 }, /from 0 to 1000000 \(tasks\), not -1/],
  ["maxHeapMB", { maxHeapMB: 0 }, /maxHeapMB of pool "emails" must be a whole number from 1/],
  ["a typo", { maxParalelism: 1 }, /did you mean maxParallelism\?/],
  ["retry", { retry: 3 }, /retry of pool "emails" must be true, false or an object/],
  ["retry.base", { retry: { base: 0 } }, /retry\.base of pool "emails" must be a number from 1/],
  [
    "retry.initialBackoffMs",
    { retry: { initialBackoffMs: 10, maxBackoffMs: 5 } },
    /retry\.initialBackoffMs of pool "emails" must be at most retry\.maxBackoffMs \(5 ms\)/,
  ],
  [
    "both callbacks",
    { onComplete: () => undefined, onCompleteBatch: () => undefined },
    /onCompleteBatch of pool "emails" cannot be given together with onComplete/,
  ],
])("an option that makes no sense is named: %s", (_, given, message) => {
  expect(() => poolOf(given)).toThrow(message);
});

test("true stands for five attempts, and what is left out of retry has a default", () => {
  const five = { maxAttempts: 5, initialBackoffMs: 250, base: 2, maxBackoffMs: 3_600_000 };
  expect(poolOf({ retry: true }).retry).toEqual(five);
  expect(poolOf({ retry: { maxAttempts: 3 } }).retry).toEqual({ ...five, maxAttempts: 3 });
  expect(poolOf({ retry: false }).retry).toEqual(NO_RETRY);
  const slow = poolOf({ retry: { initialBackoffMs: 4_000_000 } }).retry;
  expect(slow.maxBackoffMs).toBe(4_000_000);
});

test("a handler may say for itself how it is tried and for how long", () => {
  const handler = (): void => undefined;
  const said = resolveHandlerOptions("emails", "send", { handler, retry: false, timeout: 5 });
  expect(said).toEqual({ retry: NO_RETRY, timeout: 5 });
  const silent = resolveHandlerOptions("emails", "send", { handler });
  expect(silent).toEqual({ retry: undefined, timeout: undefined });
  expect(() => resolveHandlerOptions("emails", "send", { handler, timeout: 0 })).toThrow(
    /Option timeout of handler "send" of pool "emails" must be/,
  );
  expect(() => resolveHandlerOptions("emails", "send", { schema: {}, handler })).toThrow(
    /Option schema of handler "send" of pool "emails" must be a schema/,
  );
});

test("a call may say when, in which order and how its tasks run", () => {
  expect(resolveTaskOptions("emails", {})).toEqual({
    runAt: null,
    runAfter: 0,
    priority: 0,
    serialKey: "",
    retry: undefined,
    timeout: undefined,
  });
  const given = { priority: -3, serialKey: "user:1", timeout: 10, retry: { maxAttempts: 2 } };
  expect(resolveTaskOptions("emails", { ...given, runAfter: 5 })).toMatchObject({
    ...given,
    runAfter: 5,
    retry: { maxAttempts: 2, base: 2 },
  });
  expect(resolveTaskOptions("emails", { runAt: new Date(99) }).runAt).toBe(99);
  expect(resolveTaskOptions("emails", { runAt: 98 }).runAt).toBe(98);
});

test.each([
  ["two times", { runAt: 1, runAfter: 1 }, /runAfter of a task of pool "emails" cannot be given/],
  ["no time", { runAt: new Date(Number.NaN) }, /runAt .* must be a time in ms/],
  ["a priority", { priority: 0.5 }, /priority .* must be a whole number from -1000000/],
  ["a key of nothing", { serialKey: "" }, /serialKey .* must be a well-formed string of 1 to 512/],
  ["half a character", { serialKey: "\uD800" }, /serialKey .* must be a well-formed string/],
])("a call that makes no sense is refused: %s", (_, given, message) => {
  expect(() => resolveTaskOptions("emails", given)).toThrow(message);
});

test("a parallelism is checked when it is changed too", () => {
  expect(() => checkParallelism("emails", 1.5)).toThrow(
    /Option maxParallelism of pool "emails" must be a whole number .* not 1\.5/,
  );
  expect(() => checkParallelism("emails", 0)).not.toThrow();
});
