import { describe, expect, test } from "vitest";

import { hunt } from "./hunt.ts";
import { MUTANTS } from "./mutants/index.ts";
import { run, type RunResult } from "./run.ts";
import { failedSeeds } from "./seeds.ts";

/** Every tenth of them is on SQLite. */
const SEEDS = Array.from({ length: 40 }, (_, seed) => seed);
/** Far enough for the rarest bug to show. */
const HUNTED = Array.from({ length: 500 }, (_, seed) => seed);

describe("with crashes, pauses, clock steps and a failing storage", () => {
  test("every promise holds after every step, and everything ends when the faults do", async () => {
    const results: RunResult[] = [];
    for (const seed of new Set([...failedSeeds("batches"), ...SEEDS])) {
      const result = await run(seed);
      results.push(result);
      expect(result.violation, `npm run sim -- --seed ${seed} --trace`).toBeNull();
    }
    const sum = (count: (result: RunResult) => number): number =>
      results.reduce((total, result) => total + count(result), 0);
    expect(sum(({ totals }) => totals.done)).toBeGreaterThan(1000);
    expect(sum(({ totals }) => totals.dead)).toBeGreaterThan(10);
    expect(sum(({ totals }) => totals.reclaims)).toBeGreaterThan(100);
    expect(sum(({ totals }) => totals.crashes)).toBeGreaterThan(10);
    expect(new Set(results.map(({ plan }) => plan.store))).toEqual(new Set(["memory", "sqlite"]));
  }, 120_000);

  test.each([0, 7])("seed %i replays to the same trace", async (seed) => {
    const first = await run(seed);
    const second = await run(seed);
    expect(second.hash).toBe(first.hash);
    expect((await run(seed + 1)).hash).not.toBe(first.hash);
  });
});

describe("a bug on purpose is found by the promise that it breaks", () => {
  test.each(MUTANTS)("$name", async (mutant) => {
    const found = await hunt(mutant, HUNTED);
    expect(found?.violation?.invariant).toBeOneOf([...mutant.foundBy]);
  });
});
