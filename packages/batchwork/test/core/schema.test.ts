import { describe, expect, test } from "vitest";

import { hasCode } from "../../src/core/errors.ts";
import { SchemaError, standardSchema, type SchemaIssue } from "../../src/core/schema.ts";

function fieldOf(path: NonNullable<SchemaIssue["path"]>): string | undefined {
  return new SchemaError("orders", 0, null, [{ message: "is wrong", path }]).field;
}

describe("the option", () => {
  const { accepts } = standardSchema();
  const standard = { version: 1, vendor: "mine", validate: () => ({ value: 1 }) };

  test("takes objects and functions that speak Standard Schema 1", () => {
    expect(accepts({ "~standard": standard })).toBe(true);
    expect(accepts(Object.assign(() => 1, { "~standard": standard }))).toBe(true);
  });

  test.each([
    [null],
    [1],
    [{}],
    [() => 1],
    [{ "~standard": null }],
    [{ "~standard": 1 }],
    [{ "~standard": { ...standard, version: 2 } }],
    [{ "~standard": { ...standard, validate: true } }],
  ])("refuses %o", (value) => {
    expect(accepts(value)).toBe(false);
  });
});

describe("the error", () => {
  test("says which item, where in it, and what is wrong", () => {
    const issues = [{ message: "must be a number", path: ["total"] }, { message: "is odd" }];
    const item = { total: "1" };
    const error = new SchemaError("orders", 3, item, issues);
    expect(hasCode(error, "ITEM_INVALID")).toBe(true);
    expect(error).toMatchObject({ index: 3, field: "$.total", value: item, issues });
    expect(error.message).toBe(
      'Item 3 for "orders" breaks its schema at $.total: must be a number ' +
        "(and 1 more: see `issues`)",
    );
  });

  test("writes paths as code does", () => {
    expect(fieldOf([])).toBe("$");
    expect(fieldOf(["a", "b_2", "$c"])).toBe("$.a.b_2.$c");
    expect(fieldOf([{ key: "tags" }, { key: 2 }, "0"])).toBe("$.tags[2][0]");
    expect(fieldOf(["two words", Symbol("mark")])).toBe('$["two words"].Symbol(mark)');
  });

  test("gets by with an issue that has no path, and without any", () => {
    expect(new SchemaError("orders", 0, 1, [{ message: "no" }]).field).toBe("$");
    const message = 'Item 0 for "orders" breaks its schema at $: ';
    expect(new SchemaError("orders", 0, 1, []).message).toBe(message);
  });
});
