import { describe, expect, test } from "vitest";

import { huntInPools, POOL_MUTANTS } from "./pools/mutants/index.ts";
import { runPools, type PoolRunResult } from "./pools/run.ts";
import { failedSeeds } from "./seeds.ts";

/** Every tenth of them is on SQLite. */
const SEEDS = Array.from({ length: 40 }, (_, seed) => seed);
/** Far enough for the rarest bug to show. */
const HUNTED = Array.from({ length: 500 }, (_, seed) => seed);

describe("pools with crashes, pauses, clock steps and a failing storage", () => {
  test("every promise to tasks holds, and everything ends when the faults do", async () => {
    const results: PoolRunResult[] = [];
    for (const seed of new Set([...failedSeeds("pools"), ...SEEDS])) {
      const result = await runPools(seed);
      results.push(result);
      expect(result.violation, `npm run sim -- --seed ${seed} --pools --trace`).toBeNull();
    }
    const sum = (count: (result: PoolRunResult) => number): number =>
      results.reduce((total, result) => total + count(result), 0);
    expect(sum(({ totals }) => totals.succeeded)).toBeGreaterThan(1000);
    expect(sum(({ totals }) => totals.failed)).toBeGreaterThan(50);
    expect(sum(({ totals }) => totals.canceled)).toBeGreaterThan(50);
    expect(sum(({ totals }) => totals.told)).toBeGreaterThan(500);
    expect(sum(({ totals }) => totals.crashes)).toBeGreaterThan(20);
    expect(sum(({ totals }) => totals.crashed)).toBeGreaterThan(0);
    expect(new Set(results.map(({ plan }) => plan.store))).toEqual(new Set(["memory", "sqlite"]));
  }, 120_000);

  test.each([0, 3])("seed %i replays to the same trace", async (seed) => {
    const first = await runPools(seed);
    expect((await runPools(seed)).hash).toBe(first.hash);
    expect((await runPools(seed + 1)).hash).not.toBe(first.hash);
  });
});

describe("a bug of pools on purpose is found by the promise that it breaks", () => {
  test.each(POOL_MUTANTS)(
    "$name",
    async (mutant) => {
      const found = await huntInPools(mutant, HUNTED);
      expect(found?.violation?.invariant).toBeOneOf([...mutant.foundBy]);
    },
    120_000,
  );
});
