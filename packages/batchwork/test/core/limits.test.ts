import fc from "fast-check";
import { describe, expect, test } from "vitest";

import {
  CHUNK_BYTES_MAX,
  CHUNK_ITEMS_MAX,
  chunkEnd,
  ERROR_TEXT_MAX,
  isName,
  ITEM_BYTES_MAX,
  NAME_BYTES_MAX,
} from "../../src/core/limits.ts";

const CAPS = { items: CHUNK_ITEMS_MAX, bytes: CHUNK_BYTES_MAX };

/** Where all chunks of these items end. */
function ends(sizes: readonly number[], caps = CAPS): number[] {
  const all: number[] = [];
  for (let from = 0; from < sizes.length; from = all.at(-1) as number) {
    all.push(chunkEnd(sizes, from, caps));
  }
  return all;
}

describe("a chunk", () => {
  test("ends at 500 items", () => {
    expect(ends(Array.from({ length: 1001 }, () => 1))).toEqual([500, 1000, 1001]);
    expect(ends(Array.from({ length: 1000 }, () => 1))).toEqual([500, 1000]);
  });

  test("ends before 256 KiB are exceeded", () => {
    const half = CHUNK_BYTES_MAX / 2;
    expect(ends([half, half, half])).toEqual([2, 3]);
    expect(ends([half, half + 1, half])).toEqual([1, 2, 3]);
  });

  test("holds one item of the largest size, and a larger one alone", () => {
    expect(ends([ITEM_BYTES_MAX, 1])).toEqual([1, 2]);
    expect(ends([1, 5 * CHUNK_BYTES_MAX, 1])).toEqual([1, 2, 3]);
  });

  test("of nothing is empty", () => {
    expect(chunkEnd([], 0, CAPS)).toBe(0);
    expect(chunkEnd([1, 2], 2, CAPS)).toBe(2);
  });

  test("is as large as its caps allow, and no item is left out", () => {
    const sizes = fc.array(fc.nat(50), { minLength: 1, maxLength: 60 });
    const caps = fc.record({ items: fc.integer({ min: 1, max: 10 }), bytes: fc.nat(100) });
    fc.assert(
      fc.property(sizes, caps, (all, { items, bytes }) => {
        let from = 0;
        for (const end of ends(all, { items, bytes })) {
          const chunk = all.slice(from, end);
          const total = chunk.reduce((sum, size) => sum + size, 0);
          expect(chunk.length).toBeGreaterThan(0);
          expect(chunk.length).toBeLessThanOrEqual(items);
          expect(total <= bytes || chunk.length === 1).toBe(true);
          const next = all[end];
          expect(next === undefined || chunk.length === items || total + next > bytes).toBe(true);
          from = end;
        }
        expect(from).toBe(all.length);
      }),
      { numRuns: 1000 },
    );
  });
});

describe("a name", () => {
  test("has 1 to 128 characters", () => {
    expect(isName("")).toBe(false);
    expect(isName("a")).toBe(true);
    expect(isName("x".repeat(NAME_BYTES_MAX))).toBe(true);
    expect(isName("x".repeat(NAME_BYTES_MAX + 1))).toBe(false);
  });

  test("is made of letters, digits and four signs", () => {
    expect(isName("Orders.eu-1:raw_2")).toBe(true);
    for (const bad of ["a b", "a/b", "ä", "a\n", "\na", "a\u0000", "a'b"]) {
      expect(isName(bad), JSON.stringify(bad)).toBe(false);
    }
  });
});

test("the error text limit stands with the others", () => {
  expect(ERROR_TEXT_MAX).toBe(4096);
});
