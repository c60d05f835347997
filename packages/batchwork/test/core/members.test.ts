import fc from "fast-check";
import { describe, expect, test } from "vitest";

import {
  compact,
  idAt,
  indexAt,
  isRun,
  itemCount,
  itemId,
  itemIds,
  knownPlaceOf,
  memberCount,
  packMembers,
  placeOf,
  selectMembers,
  unpackMembers,
  type Member,
} from "../../src/core/members.ts";

const RUN: Member = { chunk: 7, items: { from: 2, count: 3 }, whole: false };
const LIST: Member = { chunk: 9, items: [0, 4, 5], whole: true };
const MOVED: Member = { chunk: 8, items: [0, 2, 3], whole: false, ids: ["7:1", "8:2", "3:0"] };

const ascending = fc
  .uniqueArray(fc.nat(500), { minLength: 1, maxLength: 20 })
  .map((indices) => indices.toSorted((a, b) => a - b));
const member: fc.Arbitrary<Member> = fc.record({
  chunk: fc.nat(),
  items: fc.oneof(
    fc.record({ from: fc.nat(500), count: fc.integer({ min: 1, max: 20 }) }),
    ascending,
  ),
  whole: fc.boolean(),
});
/** The same, of items that were moved and kept other ids. */
const moved = fc.tuple(member, fc.nat()).map(([one, chunk]): Member => {
  const count = memberCount(one);
  return { ...one, ids: Array.from({ length: count }, (_, n) => itemId(chunk, n * 2)) };
});
const members = fc.array(fc.oneof(member, moved), { maxLength: 6 });

/** Members with some ascending positions of the batch that they make up. */
const selection = fc
  .tuple(members, fc.array(fc.nat(), { maxLength: 40 }))
  .map(([all, wanted]): [Member[], number[]] => {
    const count = itemCount(all);
    const positions = count === 0 ? [] : [...new Set(wanted.map((n) => n % count))];
    return [all, positions.toSorted((a, b) => a - b)];
  });

describe("members", () => {
  test("name runs and lists of indices", () => {
    expect([memberCount(RUN), memberCount(LIST)]).toEqual([3, 3]);
    expect([0, 1, 2].map((n) => indexAt(RUN, n))).toEqual([2, 3, 4]);
    expect([0, 1, 2].map((n) => indexAt(LIST, n))).toEqual([0, 4, 5]);
    expect([isRun(RUN.items), isRun(LIST.items)]).toEqual([true, false]);
    expect(itemCount([RUN, LIST])).toBe(6);
  });

  test("give each item the id of its place in its chunk", () => {
    expect(itemId(7, 2)).toBe("7:2");
    expect(itemIds([RUN, LIST])).toEqual(["7:2", "7:3", "7:4", "9:0", "9:4", "9:5"]);
  });

  test("give items that were moved the ids they had before", () => {
    expect(itemIds([MOVED, RUN])).toEqual(["7:1", "8:2", "3:0", "7:2", "7:3", "7:4"]);
    expect([idAt(MOVED, 2), idAt(RUN, 2)]).toEqual(["3:0", "7:4"]);
    expect(selectMembers([RUN, MOVED], [1, 3, 5])).toEqual([
      { chunk: 7, items: { from: 3, count: 1 }, whole: false },
      { chunk: 8, items: [0, 3], whole: false, ids: ["7:1", "3:0"] },
    ]);
  });

  test("an id says where its item was appended", () => {
    expect(placeOf(itemId(12, 34))).toEqual({ chunk: 12, index: 34 });
  });

  test("an id that cannot be one has no place", () => {
    expect(knownPlaceOf(itemId(12, 34))).toEqual({ chunk: 12, index: 34 });
    for (const id of ["", "1", "1:", ":1", "0:1", "1:-1", "x:1", "1:2:3", " 1:2", "1e3:0"]) {
      expect(knownPlaceOf(id)).toBeNull();
    }
  });

  test("are runs wherever their indices follow one another", () => {
    expect(compact([3, 4, 5])).toEqual({ from: 3, count: 3 });
    expect(compact([3])).toEqual({ from: 3, count: 1 });
    expect(compact([3, 5])).toEqual([3, 5]);
  });

  test("stay whole only when nothing of them is left out", () => {
    expect(selectMembers([RUN, LIST], [0, 3, 4, 5])).toEqual([
      { chunk: 7, items: { from: 2, count: 1 }, whole: false },
      LIST,
    ]);
    expect(selectMembers([RUN, LIST], [1, 2, 3, 5])).toEqual([
      { chunk: 7, items: { from: 3, count: 2 }, whole: false },
      { chunk: 9, items: [0, 5], whole: false },
    ]);
    expect(selectMembers([RUN, LIST], [0, 1, 2])).toEqual([RUN]);
  });

  test("are packed compactly", () => {
    expect(packMembers([RUN, LIST])).toBe("[[7,2,3,0],[9,[0,4,5],1]]");
  });

  test("come back from their packed text", () => {
    fc.assert(
      fc.property(members, (all) => {
        expect(unpackMembers(packMembers(all))).toEqual(all);
      }),
      { numRuns: 1000 },
    );
  });

  test("selected by position name the items at these positions, packed or not", () => {
    fc.assert(
      fc.property(selection, ([all, positions]) => {
        const ids = itemIds(all);
        const wanted = positions.map((position) => ids[position]);
        const selected = selectMembers(all, positions);
        expect(itemIds(selected)).toEqual(wanted);
        expect(itemIds(selectMembers(unpackMembers(packMembers(all)), positions))).toEqual(wanted);
        expect(itemCount(selected)).toBe(positions.length);
      }),
      { numRuns: 1000 },
    );
  });

  test("selected twice are the same as selected once by the positions of positions", () => {
    fc.assert(
      fc.property(selection, fc.array(fc.nat(), { maxLength: 20 }), ([all, first], wanted) => {
        fc.pre(first.length > 0);
        const second = [...new Set(wanted.map((n) => n % first.length))].toSorted((a, b) => a - b);
        const once = second.map((n) => first[n] as number);
        const ids = itemIds(selectMembers(selectMembers(all, first), second));
        expect(ids).toEqual(itemIds(selectMembers(all, once)));
      }),
      { numRuns: 1000 },
    );
  });
});
