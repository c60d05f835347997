/** What a worker's loop keeps: failures, and what killed an owner. */
import { describe, expect, test } from "vitest";

import { BatchworkError } from "../../src/core/errors.ts";
import { resolveWorkerOptions } from "../../src/core/worker-options.ts";
import {
  afterDeath,
  afterFailure,
  afterProcessed,
  beforeTrying,
  newWorkerState,
  notYet,
  untilRetry,
  type WorkerState,
} from "../../src/core/worker-state.ts";

const POLICY = {
  max: 2,
  strategy: "exponential",
  baseDelay: 100,
  maxDelay: 150,
  jitter: 0,
} as const;

const NEW = newWorkerState("{}");

describe("failures", () => {
  test("an item waits longer each time, and is dead when it is out of attempts", () => {
    const one = afterFailure(NEW, "a", POLICY, 1000, 0);
    expect(one).toMatchObject({ attempts: 1, dead: false });
    const two = afterFailure(one.state, "a", POLICY, 1100, 0);
    expect(two.state.failing).toEqual([{ text: "a", attempts: 2, dueAt: 1250 }]);
    const three = afterFailure(two.state, "a", POLICY, 1250, 0);
    expect(three).toMatchObject({ attempts: 3, dead: true, state: { failing: [] } });
  });

  test("each item is known by itself, until it was processed", () => {
    const one = afterFailure(NEW, "a", POLICY, 1000, 0).state;
    const two = afterFailure(one, "b", POLICY, 1050, 0).state;
    expect(notYet(two, 1100)).toEqual(["b"]);
    expect(untilRetry(two, 1020)).toBe(80);
    expect(untilRetry(two, 2000)).toBe(0);
    const through = afterProcessed(two, 3, ["a"]);
    expect(through).toMatchObject({ batches: 1, items: 3, failing: [{ text: "b" }] });
    expect(untilRetry(afterProcessed(through, 1, ["b"]), 0)).toBeNull();
  });
});

describe("owners that died", () => {
  /** Lives until the item is found out: each tries what it may, and dies over the bad one. */
  function lives(items: readonly string[], bad: string, maxCrashes: number): readonly string[] {
    let state: WorkerState = NEW;
    const done = new Set<string>();
    for (let life = 1; life < 50; life++) {
      const after = afterDeath(state, maxCrashes);
      ({ state } = after);
      if (after.deadly !== null) return [...done, `${after.deadly} after ${life}`];
      for (;;) {
        const left = items.filter((item) => !done.has(item));
        const batch = left.slice(0, state.trying?.limit ?? left.length);
        if (state.trying !== null) {
          state = { ...state, trying: beforeTrying(state.trying, batch) };
        }
        if (batch.includes(bad)) break;
        for (const item of batch) done.add(item);
        state = afterProcessed(state, batch.length, []);
      }
    }
    return [];
  }

  test("the one item that kills is found by halves, and the others get through before it", () => {
    const items = ["a", "b", "c", "d", "e", "f", "g", "h"];
    expect(lives(items, "f", 3)).toEqual(["a", "b", "c", "d", "e", "f after 8"]);
    expect(lives(["x"], "x", 3)).toEqual(["x after 4"]);
  });

  test("caution ends when all that was found went well, and more might have been tried", () => {
    const { state } = afterDeath(NEW, 3);
    expect(state.trying).toMatchObject({ texts: [] });
    expect(afterProcessed(state, 5, []).trying).toBeNull();
    const halved = { ...NEW, trying: { limit: 2, texts: [], deaths: 0 } };
    expect(afterProcessed(halved, 2, []).trying).toEqual({ limit: 4, texts: [], deaths: 0 });
    expect(afterProcessed(halved, 1, []).trying).toBeNull();
  });

  test("deaths count for the same item only", () => {
    const trying = { limit: 1, texts: ["a"], deaths: 2 };
    expect(beforeTrying(trying, ["a"]).deaths).toBe(2);
    expect(beforeTrying(trying, ["b"]).deaths).toBe(0);
    expect(beforeTrying(trying, ["a", "b"]).deaths).toBe(0);
  });
});

describe("options of a worker", () => {
  const GIVEN = { name: "a", query: () => undefined, process: () => undefined };

  test("defaults are filled in", () => {
    expect(resolveWorkerOptions(GIVEN)).toEqual({
      name: "a",
      debounceMs: 0,
      monitorLagMs: 60_000,
      partitions: [""],
      concurrency: 1,
      retries: { max: 3, strategy: "exponential", baseDelay: 1000, maxDelay: 30_000, jitter: 0 },
    });
    expect(resolveWorkerOptions({ ...GIVEN, partitions: ["é x", "b"] }).concurrency).toBe(2);
  });

  test.each([
    ["partitions", []],
    ["partitions", [""]],
    ["partitions", ["a\0"]],
    ["partitions", ["\uD800"]],
    ["partitions", ["a", 1]],
    ["partitions", "a"],
    ["concurrency", 0],
    ["monitorLagMs", 9999],
    ["debounceMs", 0.5],
    ["query", "SELECT 1"],
    ["setAside", true],
    ["maxSize", 5],
  ])("a wrong %s is named: %j", (field, value) => {
    const wrong = (): unknown => resolveWorkerOptions({ ...GIVEN, [field]: value });
    expect(wrong).toThrow(BatchworkError);
    expect(wrong).toThrow(expect.objectContaining({ code: "OPTION_INVALID", field }));
  });

  test("the first wait cannot be longer than the longest", () => {
    const retries = { baseDelay: 2, maxDelay: 1 };
    expect(() => resolveWorkerOptions({ ...GIVEN, retries })).toThrow(/retries.maxDelay/v);
  });
});
