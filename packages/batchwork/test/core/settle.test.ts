import fc from "fast-check";
import { describe, expect, test } from "vitest";

import {
  settle,
  type FailurePolicy,
  type Outcome,
  type Split,
  type Verdict,
} from "../../src/core/settle.ts";

const RETRIES = {
  max: 2,
  strategy: "exponential",
  baseDelay: 1000,
  maxDelay: 60_000,
  jitter: 0,
} as const;
const RETRY: FailurePolicy = { retries: RETRIES, onFailure: "retry" };
const BISECT: FailurePolicy = { retries: RETRIES, onFailure: "bisect" };

/** The third attempt is the last. */
const LAST = 3;

function verdict(given: Partial<Verdict>): Verdict {
  return { count: 4, attempt: 1, failed: new Map(), ...given };
}

function failing(...positions: number[]): ReadonlyMap<number, unknown> {
  return new Map(positions.map((position) => [position, new Error(`bad ${position}`)]));
}

const THROWN = { error: new TypeError("all bad") };

function messageOf(position: number): object {
  return expect.objectContaining({ message: `bad ${position}` }) as object;
}

const ALL_BAD = expect.objectContaining({ name: "TypeError", message: "all bad" }) as object;

describe("a handler that returned", () => {
  test("and failed nothing leaves nothing", () => {
    expect(settle(verdict({}), RETRY, 0)).toEqual({ kind: "done" });
    expect(settle(verdict({}), BISECT, 0)).toEqual({ kind: "done" });
  });

  test("and failed some items sends these on as one batch with the next attempt", () => {
    expect(settle(verdict({ attempt: 2, failed: failing(3, 1) }), RETRY, 0)).toEqual({
      kind: "split",
      children: [{ positions: [1, 3], attempt: 3, delayMs: 2000, error: messageOf(1) }],
      dead: [],
      error: messageOf(1),
    });
  });

  test("and failed every item runs the same batch again", () => {
    expect(settle(verdict({ count: 2, failed: failing(0, 1) }), BISECT, 0)).toEqual({
      kind: "again",
      attempt: 2,
      delayMs: 1000,
      error: messageOf(0),
    });
  });

  test("on the last attempt buries the failed items, each with its own error", () => {
    expect(settle(verdict({ attempt: LAST, failed: failing(2, 0) }), RETRY, 0)).toEqual({
      kind: "split",
      children: [],
      dead: [
        { position: 0, error: messageOf(0) },
        { position: 2, error: messageOf(2) },
      ],
      error: messageOf(0),
    });
  });
});

describe("a handler that threw", () => {
  test("fails every item, so the same batch runs again", () => {
    expect(settle(verdict({ thrown: THROWN }), RETRY, 0)).toEqual({
      kind: "again",
      attempt: 2,
      delayMs: 1000,
      error: ALL_BAD,
    });
  });

  test("on the last attempt buries every item, the named ones with their own error", () => {
    const outcome = settle(
      verdict({ attempt: LAST, failed: failing(2), thrown: THROWN }),
      RETRY,
      0,
    );
    expect((outcome as Split).dead).toEqual([
      { position: 0, error: ALL_BAD },
      { position: 1, error: ALL_BAD },
      { position: 2, error: messageOf(2) },
      { position: 3, error: ALL_BAD },
    ]);
    expect(outcome).toMatchObject({ kind: "split", children: [], error: ALL_BAD });
  });

  test("has thrown even when what it threw is undefined", () => {
    expect(settle(verdict({ thrown: { error: undefined } }), RETRY, 0)).toMatchObject({
      kind: "again",
      error: { message: "undefined" },
    });
  });

  test("draws its delay from the random number", () => {
    const jittery = { ...RETRY, retries: { ...RETRIES, jitter: 1 } };
    expect(settle(verdict({ thrown: THROWN }), jittery, 0.25)).toMatchObject({ delayMs: 750 });
  });
});

describe("bisecting", () => {
  test("cuts a batch that threw in two, at once and without using up an attempt", () => {
    expect(settle(verdict({ count: 5, attempt: LAST, thrown: THROWN }), BISECT, 0)).toEqual({
      kind: "split",
      children: [
        { positions: [0, 1, 2], attempt: LAST, delayMs: 0, error: ALL_BAD },
        { positions: [3, 4], attempt: LAST, delayMs: 0, error: ALL_BAD },
      ],
      dead: [],
      error: ALL_BAD,
    });
  });

  test("gives an item that stands alone its attempts and backoff, then buries it", () => {
    const alone = { count: 1, thrown: THROWN };
    expect(settle(verdict(alone), BISECT, 0)).toMatchObject({ kind: "again", delayMs: 1000 });
    expect(settle(verdict({ ...alone, attempt: LAST }), BISECT, 0)).toMatchObject({
      kind: "split",
      dead: [{ position: 0, error: ALL_BAD }],
    });
  });

  test("cuts out the items that were named, and lets the others go on at once", () => {
    expect(settle(verdict({ failed: failing(2), thrown: THROWN }), BISECT, 0)).toEqual({
      kind: "split",
      children: [
        { positions: [0, 1, 3], attempt: 1, delayMs: 0, error: ALL_BAD },
        { positions: [2], attempt: 2, delayMs: 1000, error: messageOf(2) },
      ],
      dead: [],
      error: ALL_BAD,
    });
  });

  test("buries named items that are out of attempts, and lets the others go on", () => {
    const given = { attempt: LAST, failed: failing(0, 1), thrown: THROWN };
    expect(settle(verdict(given), BISECT, 0)).toMatchObject({
      children: [{ positions: [2, 3], attempt: LAST, delayMs: 0 }],
      dead: [{ position: 0 }, { position: 1 }],
    });
  });

  test("does not cut a batch of which every item was named", () => {
    const given = { count: 2, failed: failing(0, 1), thrown: THROWN };
    expect(settle(verdict(given), BISECT, 0)).toMatchObject({ kind: "again", attempt: 2 });
  });
});

describe("every outcome", () => {
  const verdicts: fc.Arbitrary<Verdict> = fc
    .integer({ min: 1, max: 40 })
    .chain((count) =>
      fc.record({
        count: fc.constant(count),
        attempt: fc.integer({ min: 1, max: 4 }),
        failed: fc
          .uniqueArray(fc.nat(count - 1), { maxLength: count })
          .map((positions) => failing(...positions)),
        thrown: fc.boolean(),
      }),
    )
    .map(({ thrown, ...rest }): Verdict => (thrown ? { ...rest, thrown: THROWN } : rest));
  const policies = fc.constantFrom(RETRY, BISECT);
  const randoms = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true });

  /** How often each position goes on or is dead. */
  function fates(outcome: Outcome, count: number): number[] {
    if (outcome.kind === "done") return Array.from({ length: count }, () => 0);
    if (outcome.kind === "again") return Array.from({ length: count }, () => 1);
    const going = outcome.children.flatMap(({ positions }) => positions);
    const all = [...going, ...outcome.dead.map(({ position }) => position)];
    const times = Array.from({ length: count }, (_, n) => all.filter((one) => one === n).length);
    expect(times.reduce((sum, one) => sum + one, 0)).toBe(all.length);
    return times;
  }

  test("accounts for each item exactly once: done, going on, or dead", () => {
    fc.assert(
      fc.property(verdicts, policies, randoms, (given, policy, random) => {
        const { count, failed, thrown } = given;
        const times = fates(settle(given, policy, random), count);
        // Only an item that nobody failed may be done.
        const expected = times.map((_, n) => (thrown !== undefined || failed.has(n) ? 1 : 0));
        expect(times).toEqual(expected);
      }),
      { numRuns: 3000 },
    );
  });

  test("has children with ascending positions, attempts left, and another membership", () => {
    fc.assert(
      fc.property(verdicts, policies, randoms, (given, policy, random) => {
        const outcome = settle(given, policy, random);
        for (const { positions, attempt } of outcome.kind === "split" ? outcome.children : []) {
          expect(positions).toEqual([...new Set(positions)].toSorted((a, b) => a - b));
          expect(positions.length).toBeGreaterThan(0);
          expect(positions.length).toBeLessThan(given.count);
          expect(attempt === given.attempt || attempt <= RETRIES.max + 1).toBe(true);
        }
      }),
      { numRuns: 3000 },
    );
  });
});
