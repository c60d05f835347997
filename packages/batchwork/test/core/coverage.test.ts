import fc from "fast-check";
import { expect, test } from "vitest";

import {
  addKeys,
  addSection,
  joinTallies,
  keyHash,
  NO_KEYS,
  packHashes,
  sameKeys,
  SECTIONS_MAX,
  unpackHashes,
  VisitedKeys,
  type Section,
} from "../../src/core/coverage.ts";

const keys = fc.array(fc.string(), { maxLength: 50 });

function tally(texts: readonly string[]): ReturnType<typeof addKeys> {
  return addKeys(NO_KEYS, texts.map(keyHash));
}

test("a tally depends on which keys it holds, not on their order or how they came in", () => {
  fc.assert(
    fc.property(keys, keys, (one, other) => {
      const both = tally([...one, ...other]);
      expect(sameKeys(both, tally([...other, ...one]))).toBe(true);
      expect(joinTallies(tally(one), tally(other))).toEqual(both);
      expect(sameKeys(both, tally(one))).toBe(other.length === 0);
    }),
  );
});

test("one key in place of another, or twice instead of two, is another tally", () => {
  const texts = Array.from({ length: 1000 }, (_, n) => `n${n}`);
  const changed = [...texts.slice(1), "n1000"];
  expect(sameKeys(tally(texts), tally(changed))).toBe(false);
  expect(sameKeys(tally(["n1", "n1"]), tally(["n1", "n2"]))).toBe(false);
});

test("hashes are whole numbers of 53 bits that keys of a table do not share", () => {
  const hashes = Array.from({ length: 200_000 }, (_, n) => keyHash(`n${n}`));
  expect(hashes.every((hash) => Number.isSafeInteger(hash) && hash >= 0)).toBe(true);
  expect(new Set(hashes).size).toBe(hashes.length);
  // Every bit is set about as often as not.
  for (const bit of [1, 2 ** 16, 2 ** 31, 2 ** 32, 2 ** 45, 2 ** 52]) {
    const set = hashes.filter((hash) => Math.floor(hash / bit) % 2 === 1).length;
    expect(Math.abs(set / hashes.length - 0.5)).toBeLessThan(0.01);
  }
});

test("hashes come back out of their text", () => {
  const hashes = ["a", "b", "", "𝄞"].map(keyHash);
  expect(unpackHashes(packHashes(hashes))).toEqual(hashes);
  expect(unpackHashes(packHashes([]))).toEqual([]);
});

test("rows that were not visited are missed when they were there at the start, else late", () => {
  const known = new VisitedKeys([1, 2, 3, 4], [1, 2, 9]);
  expect(known.compare([1, 2, 3, 9, 10])).toEqual({
    visited: 3,
    missed: 1,
    late: 1,
    unvisited: [2, 4],
  });
  expect(known.repeated).toBe(0);
  expect(new VisitedKeys([], [1, 1, 2, 1]).repeated).toBe(2);
});

function section(n: number): Section {
  return {
    to: `cursor ${n}`,
    start: tally([`n${n}`]),
    visited: NO_KEYS,
    startNotes: { after: n, last: n + 1 },
    visitNotes: null,
  };
}

test("however many sections there are, neighbours are joined until there are few", () => {
  let sections: Section[] = [];
  const count = 1000;
  for (let n = 0; n < count; n++) {
    sections = addSection(sections, section(n));
    expect(sections.length).toBeLessThanOrEqual(SECTIONS_MAX);
  }
  const texts = Array.from({ length: count }, (_, n) => `n${n}`);
  const all = sections.map(({ start }) => start).reduce(joinTallies, NO_KEYS);
  expect(all).toEqual(tally(texts));
  expect(sections.at(-1)?.to).toBe(`cursor ${count - 1}`);
  // The notes of one begin where those of the one before it end.
  let after = 0;
  for (const { startNotes } of sections) {
    expect(startNotes.after).toBe(after);
    after = startNotes.last;
  }
  expect(after).toBe(count);
});
