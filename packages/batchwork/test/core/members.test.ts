import fc from "fast-check";
import { describe, expect, test } from "vitest";

import {
  compact,
  indexAt,
  isRun,
  itemCount,
  itemId,
  itemIds,
  memberCount,
  packMembers,
  selectMembers,
  unpackMembers,
  type Member,
} from "../../src/core/members.ts";

const RUN: Member = { chunk: 7, items: { from: 2, count: 3 }, whole: false };
const LIST: Member = { chunk: 9, items: [0, 4, 5], whole: true };

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
const members = fc.array(member, { maxLength: 6 });

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
