import fc from "fast-check";
import { describe, expect, test } from "vitest";

import { maxAttempts, retryDelayMs, type RetryPolicy } from "../../src/core/retry.ts";

const POLICY: RetryPolicy = {
  max: 5,
  strategy: "exponential",
  baseDelay: 1000,
  maxDelay: 3_600_000,
  jitter: 0,
};

const policies: fc.Arbitrary<RetryPolicy> = fc.record({
  max: fc.nat(10_000),
  strategy: fc.constantFrom("exponential", "fixed"),
  baseDelay: fc.nat(31_536_000_000),
  maxDelay: fc.nat(31_536_000_000),
  jitter: fc.double({ min: 0, max: 1, noNaN: true }),
});
const attempts = fc.integer({ min: 1, max: 10_001 });
const randoms = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true });

describe("retries", () => {
  test("come on top of the first attempt", () => {
    expect(maxAttempts({ ...POLICY, max: 0 })).toBe(1);
    expect(maxAttempts(POLICY)).toBe(6);
  });

  test("double their delay from baseDelay on", () => {
    const delays = [1, 2, 3, 4].map((attempt) => retryDelayMs(POLICY, attempt, 0));
    expect(delays).toEqual([1000, 2000, 4000, 8000]);
  });

  test("with a fixed delay do not", () => {
    const policy = { ...POLICY, strategy: "fixed" } as const;
    expect([1, 2, 10].map((attempt) => retryDelayMs(policy, attempt, 0))).toEqual([
      1000, 1000, 1000,
    ]);
  });

  test("wait no longer than maxDelay, even after thousands of attempts", () => {
    expect(retryDelayMs(POLICY, 13, 0)).toBe(3_600_000);
    expect(retryDelayMs(POLICY, 10_000, 0)).toBe(3_600_000);
    expect(retryDelayMs({ ...POLICY, baseDelay: 0 }, 10_000, 0)).toBe(0);
  });

  test("with jitter take up to that share off the delay, and round", () => {
    const policy = { ...POLICY, jitter: 0.5 };
    expect(retryDelayMs(policy, 1, 0)).toBe(1000);
    expect(retryDelayMs(policy, 1, 0.5)).toBe(750);
    expect(retryDelayMs(policy, 1, 0.9999)).toBe(500);
    expect(retryDelayMs({ ...POLICY, baseDelay: 3, jitter: 1 }, 1, 0.5)).toBe(2);
  });

  test("never have a delay that is no whole number from 0 to maxDelay", () => {
    fc.assert(
      fc.property(policies, attempts, randoms, (policy, attempt, random) => {
        const delay = retryDelayMs(policy, attempt, random);
        expect(Number.isSafeInteger(delay)).toBe(true);
        expect(delay).toBeGreaterThanOrEqual(0);
        expect(delay).toBeLessThanOrEqual(policy.maxDelay);
        expect(delay).toBeGreaterThanOrEqual(
          Math.floor(retryDelayMs(policy, attempt, 0) * (1 - policy.jitter)),
        );
      }),
      { numRuns: 2000 },
    );
  });

  test("never wait shorter after a later attempt", () => {
    fc.assert(
      fc.property(policies, attempts, randoms, (policy, attempt, random) => {
        expect(retryDelayMs(policy, attempt + 1, random)).toBeGreaterThanOrEqual(
          retryDelayMs(policy, attempt, random),
        );
      }),
      { numRuns: 2000 },
    );
  });
});
