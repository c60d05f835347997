import { describe, expect, test } from "vitest";

import { LOOP_MUTANTS } from "./loops/mutants.ts";
import { runLoops, type LoopRunResult } from "./loops/run.ts";

const SEEDS = Array.from({ length: 40 }, (_, seed) => seed);
/** Far enough for the rarest bug to show. */
const HUNTED = Array.from({ length: 200 }, (_, seed) => seed);

describe("workers with crashes, pauses, clock steps and a failing storage", () => {
  test("a loop has one owner, is never set back, and loses no wake-up", async () => {
    const results: LoopRunResult[] = [];
    for (const seed of SEEDS) {
      const result = await runLoops(seed);
      expect(result.violation, `seed ${seed}\n${result.tail.join("\n")}`).toBeNull();
      results.push(result);
    }
    const sum = (count: (result: LoopRunResult) => number): number =>
      results.reduce((total, result) => total + count(result), 0);
    expect(sum(({ done }) => done)).toBeGreaterThan(1000);
    expect(sum(({ dead }) => dead)).toBeGreaterThan(5);
    expect(sum(({ crashes }) => crashes)).toBeGreaterThan(50);
    expect(sum(({ claims }) => claims)).toBeGreaterThan(500);
  });

  test.each([0, 4])("seed %i replays to the same trace", async (seed) => {
    expect((await runLoops(seed)).hash).toBe((await runLoops(seed)).hash);
  });
});

describe("a bug of loops on purpose is found by the promise that it breaks", () => {
  test.each(LOOP_MUTANTS)("$name", async (mutant) => {
    let found: LoopRunResult | undefined;
    for (const seed of HUNTED) {
      const result = await runLoops(seed, { mutant });
      if (result.violation !== null && mutant.foundBy.includes(result.violation.invariant)) {
        found = result;
        break;
      }
    }
    expect(found?.violation?.invariant).toBeOneOf([...mutant.foundBy]);
  });
});
