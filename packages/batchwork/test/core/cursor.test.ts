import { describe, expect, test } from "vitest";

import { decodeCursor, encodeCursor, keyText } from "../../src/core/cursor.ts";
import { outcomeOf } from "../runtime/fixture.ts";

describe("a cursor gives back exactly the key it was made of", () => {
  test.each([
    ["numbers", [1]],
    ["negative numbers and fractions", [-0.5, 1e300]],
    ["numbers beyond every range", [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY]],
    ["large whole numbers", [9_007_199_254_740_993n, -(2n ** 63n)]],
    ["texts", ["", "a'b\"\\\n\u0000ä𝄞"]],
    ["texts that look like something else", ["1", '{"int":"1"}']],
    ["bytes", [new Uint8Array([0, 15, 255]), new Uint8Array()]],
    ["several columns", ["tenant", 7, 8n]],
  ] as const)("for %s", (_name, values) => {
    const columns = values.map((_value, n) => `c${n}`);
    expect(decodeCursor(columns, encodeCursor(columns, values))).toEqual(values);
  });
});

describe("a cursor is refused", () => {
  const cursor = encodeCursor(["tenant", "id"], ["a", 1]);

  test.each([
    ["for a key of other columns", ["tenant", "uid"], cursor, "belongs to the key (tenant, id)"],
    ["for the same columns in another order", ["id", "tenant"], cursor, "not (id, tenant)"],
    ["for a key of fewer columns", ["tenant"], cursor, "not (tenant)"],
    ["when a newer version wrote it", ["id"], '{"v":2,"key":["id"],"at":[1]}', "version 2"],
    ["when it holds fewer values", ["id"], '{"v":1,"key":["id"],"at":[]}', "belongs to"],
    ["when it is no cursor", ["id"], "null", "no cursor"],
    ["when it is of another shape", ["id"], '{"v":1}', "no cursor"],
    ["when it is no JSON", ["id"], "12", "no cursor"],
    ["when it is broken", ["id"], "{", "no cursor"],
  ] as const)("%s", async (_name, columns, text, reason) => {
    expect(() => decodeCursor(columns, text)).toThrow(reason);
    const refused = Promise.resolve().then(() => decodeCursor(columns, text));
    expect(await outcomeOf(refused)).toBe("CURSOR_INVALID");
  });

  test.each([
    ["NULL", null, "NULL"],
    ["a date", new Date(0), "a object"],
    ["what is not there", undefined, "a undefined"],
  ])("for a key that holds %s", (_name, value, reason) => {
    expect(() => encodeCursor(["id"], [value])).toThrow(`column id of the key holds ${reason}`);
    expect(() => encodeCursor([], [value])).toThrow("column  of the key");
  });
});

test("keys have the same text only when they are the same", () => {
  const keys = [
    [1],
    [-1],
    ["1"],
    ["n1"],
    [new Uint8Array([1])],
    ["x01"],
    ["a", "b"],
    ["ab", ""],
    ["", "ab"],
    ["a", 1],
    ["a", "1"],
    ["1:a", ""],
    [2n ** 60n],
  ];
  const texts = keys.map(keyText);
  expect(new Set(texts).size).toBe(keys.length);
  expect(keyText([5])).toBe(keyText([5n]));
});
