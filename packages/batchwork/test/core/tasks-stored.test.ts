import { describe, expect, test } from "vitest";

import { endedText } from "../../src/core/ended-task.ts";
import { indicesOf, packIndices, withoutIndices } from "../../src/core/indices.ts";
import { laneName, laneOf } from "../../src/core/lane.ts";
import { afterTaskCrash } from "../../src/core/task-crash.ts";

describe("a lane", () => {
  test.each([
    { priority: 0, serialKey: "" },
    { priority: -7, serialKey: "user:1" },
    { priority: 12, serialKey: ":" },
    { priority: 0, serialKey: "\0" },
    { priority: 1, serialKey: "\u0001" },
    { priority: 1, serialKey: "\uD800" },
  ])("is told by its name: %o", (lane) => {
    const name = laneName(lane);
    expect(laneOf(name)).toEqual(lane);
    expect(name.isWellFormed() && !name.includes("\0")).toBe(true);
  });

  test("has a name that no other lane has", () => {
    expect(laneName({ priority: 1, serialKey: "1:a" })).not.toBe(
      laneName({ priority: 11, serialKey: "a" }),
    );
  });
});

describe("indices", () => {
  test("that follow one another are a run", () => {
    expect(packIndices([3, 4, 5])).toEqual({ from: 3, count: 3, list: null });
    expect(indicesOf({ from: 3, count: 3 })).toEqual([3, 4, 5]);
  });

  test("with gaps are a list", () => {
    expect(packIndices([3, 5])).toEqual({ from: 3, count: 2, list: [3, 5] });
  });

  test("are what is left without others", () => {
    const indices = [1, 2, 3];
    expect(withoutIndices(indices, new Set([2]))).toEqual([1, 3]);
    expect(withoutIndices(indices, new Set())).toBe(indices);
  });
});

describe("the death of a process", () => {
  const clean = { company: null, crashes: 0 };

  test("leaves an eighth of its tasks together, and one at least", () => {
    expect(afterTaskCrash(clean, 1000, false)).toEqual({ company: 125, crashes: 0 });
    expect(afterTaskCrash({ company: 125, crashes: 0 }, 125, true).company).toBe(15);
    expect(afterTaskCrash(clean, 3, false).company).toBe(1);
  });

  test("counts only where nothing but the task can have caused it", () => {
    expect(afterTaskCrash(clean, 1, false).crashes).toBe(0);
    expect(afterTaskCrash({ company: 2, crashes: 0 }, 2, true).crashes).toBe(0);
    expect(afterTaskCrash({ company: 1, crashes: 2 }, 1, true)).toEqual({ company: 1, crashes: 3 });
  });

  test("singles one task of a thousand out after three of them", () => {
    let company = 1000;
    let deaths = 0;
    for (; company > 1; deaths++) company = afterTaskCrash(clean, company, true).company as number;
    expect(deaths).toBe(3);
  });
});

test("a storage tells of an ended task as plain JSON", () => {
  const task = { ended: "1:2", kind: "canceled", error: null, task: '{"a":1}' } as const;
  expect(JSON.parse(endedText(task))).toEqual(task);
});
