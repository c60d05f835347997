/** Encoding many items at once: the same text as one by one, or nothing at all. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";

import { createCodec, joinItems } from "../../src/core/codec.ts";
import { richFormat } from "../../src/runtime/rich.ts";

const codec = createCodec(richFormat);

/** Objects, now and then with what cannot be told apart from where an object ends. */
const item = fc.dictionary(
  fc.string({ maxLength: 5 }),
  fc.oneof(
    { weight: 30, arbitrary: fc.oneof(fc.string({ unit: "binary" }), fc.integer(), fc.boolean()) },
    { weight: 1, arbitrary: fc.constantFrom<unknown>("},{", ",\n", "},\n{", [{}, {}], [[{}], {}]) },
    { weight: 1, arbitrary: fc.jsonValue() },
  ),
);

test("many items have the text that each of them has, joined, or none", () => {
  let joined = 0;
  fc.assert(
    fc.property(fc.array(item, { minLength: 1, maxLength: 8 }), (items) => {
      const text = codec.encodeAll(items);
      if (text === null) return;
      joined++;
      expect(text).toBe(joinItems(items.map((one) => codec.encode(one))));
    }),
    { numRuns: 2000 },
  );
  expect(joined).toBeGreaterThan(100);
});

test("objects of text and numbers, also nested ones, are encoded at once", () => {
  const items = [{ a: "x", b: 1.5, c: null }, {}, { d: { e: true, f: [1, 2] } }];
  expect(codec.encodeAll(items)).toBe(
    '{"a":"x","b":1.5,"c":null},\n{},\n{"d":{"e":true,"f":[1,2]}}',
  );
  expect(codec.encodeAll([{ one: 1 }])).toBe('{"one":1}');
});

describe("nothing is encoded at once when there is", () => {
  const ONE_BY_ONE: Record<string, readonly unknown[]> = {
    "no item": [],
    "a number": [{}, 1],
    null: [{}, null],
    "a list": [{}, []],
    "a list of objects inside": [{ a: [{}, {}] }, {}],
    "a text like the end of an object": [{ a: "},{" }, {}],
    "a date": [{}, { at: new Date(0) }],
    "something that cannot be stored": [{ a: () => 1 }, {}],
    "a key like that of the rich format": [{ "\u0000rich": 1 }, {}],
    "a key like that of a submitted item": [{ "\u0000result": 1 }, {}],
    "an accessor that throws the second time": [throwingTheSecondTime(), {}],
  };

  test.each(Object.entries(ONE_BY_ONE))("%s", (_what, items) => {
    expect(codec.encodeAll(items)).toBeNull();
  });
});

function throwingTheSecondTime(): object {
  let reads = 0;
  return {
    get a(): number {
      if (++reads > 1) throw new Error("read before");
      return reads;
    },
  };
}
