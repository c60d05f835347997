import fc from "fast-check";
import { describe, expect, test } from "vitest";

import { halves } from "../../src/core/bisect.ts";
import { settle, type FailurePolicy } from "../../src/core/settle.ts";

const POLICY: FailurePolicy = {
  retries: { max: 2, strategy: "fixed", baseDelay: 1000, maxDelay: 1000, jitter: 0 },
  onFailure: "bisect",
};

interface Run {
  readonly calls: number;
  readonly done: readonly number[];
  readonly dead: readonly number[];
}

/** Runs items until each is done or dead, with a handler that throws when it sees a poison item. */
function runAll(count: number, poison: ReadonlySet<number>, policy = POLICY): Run {
  const done: number[] = [];
  const dead: number[] = [];
  const batches = [{ items: Array.from({ length: count }, (_, n) => n), attempt: 1 }];
  let calls = 0;
  for (let batch = batches.shift(); batch !== undefined; batch = batches.shift()) {
    const { items, attempt } = batch;
    calls++;
    const thrown = items.some((item) => poison.has(item)) ? { thrown: { error: "poison" } } : {};
    const outcome = settle(
      { count: items.length, attempt, failed: new Map(), ...thrown },
      policy,
      0,
    );
    if (outcome.kind === "done") done.push(...items);
    if (outcome.kind === "again") batches.push({ items, attempt: outcome.attempt });
    if (outcome.kind !== "split") continue;
    dead.push(...outcome.dead.map(({ position }) => items[position] as number));
    for (const child of outcome.children) {
      const childItems = child.positions.map((position) => items[position] as number);
      batches.push({ items: childItems, attempt: child.attempt });
    }
  }
  return { calls, done: done.toSorted((a, b) => a - b), dead: dead.toSorted((a, b) => a - b) };
}

describe("bisecting", () => {
  test("makes two halves in order, the first larger by at most one", () => {
    expect(halves(2)).toEqual([[0], [1]]);
    expect(halves(5)).toEqual([
      [0, 1, 2],
      [3, 4],
    ]);
  });

  test("leaves nothing out, for any size", () => {
    fc.assert(
      fc.property(fc.integer({ min: 2, max: 3000 }), (count) => {
        const [first, second] = halves(count);
        expect([...first, ...second]).toEqual(Array.from({ length: count }, (_, n) => n));
        expect([0, 1]).toContain(first.length - second.length);
      }),
    );
  });

  test("finds one poison item among 1,000 in about 2 log2(1,000) calls; 999 get through", () => {
    for (const position of [0, 1, 499, 500, 777, 999]) {
      const { calls, done, dead } = runAll(1000, new Set([position]));
      expect(dead).toEqual([position]);
      expect(done).toHaveLength(999);
      // Two calls a level, one at the root, and the retries of the item once it is alone.
      const levels = Math.ceil(Math.log2(1000));
      expect(calls).toBeLessThanOrEqual(2 * levels + 1 + POLICY.retries.max);
      expect(calls).toBeGreaterThanOrEqual(2 * (levels - 1) + 1 + POLICY.retries.max);
    }
  });

  test("buries exactly the poison items, wherever they are and however many", () => {
    const cases = fc
      .integer({ min: 1, max: 200 })
      .chain((count) =>
        fc.tuple(fc.constant(count), fc.uniqueArray(fc.nat(count - 1), { maxLength: count })),
      );
    fc.assert(
      fc.property(cases, ([count, positions]) => {
        const { calls, done, dead } = runAll(count, new Set(positions));
        expect(dead).toEqual(positions.toSorted((a, b) => a - b));
        expect(done).toHaveLength(count - positions.length);
        const perPoison = 2 * Math.ceil(Math.log2(count)) + POLICY.retries.max;
        expect(calls).toBeLessThanOrEqual(1 + positions.length * perPoison);
      }),
      { numRuns: 500 },
    );
  });

  test("is what saves them: without it all 1,000 die with the one", () => {
    const { dead, calls } = runAll(1000, new Set([5]), { ...POLICY, onFailure: "retry" });
    expect(dead).toHaveLength(1000);
    expect(calls).toBe(3);
  });
});
