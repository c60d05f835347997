import { describe, expect, test } from "vitest";

import {
  BatchworkError,
  ERROR_TEXT_MAX,
  hasCode,
  revivedError,
  storedError,
} from "../../src/core/errors.ts";

function throwing(): never {
  throw new Error("not today");
}

describe("BatchworkError", () => {
  test("carries a code, what is at fault, and the error underneath", () => {
    const cause = new Error("disk full");
    const error = new BatchworkError("STORAGE_FAILED", "m", { field: "f", value: 5, cause });
    expect(error).toBeInstanceOf(Error);
    expect(error).toMatchObject({ name: "BatchworkError", code: "STORAGE_FAILED", message: "m" });
    expect(error).toMatchObject({ field: "f", value: 5, cause });
  });

  test("has no cause unless there is one", () => {
    const error = new BatchworkError("PAUSED", "m");
    expect("cause" in error).toBe(false);
    expect(error.field).toBeUndefined();
  });

  test("is told by its code, and only by its own", () => {
    expect(hasCode(new BatchworkError("PAUSED", "m"), "PAUSED")).toBe(true);
    expect(hasCode(new BatchworkError("PAUSED", "m"), "STOPPED")).toBe(false);
    expect(hasCode(Object.assign(new Error("m"), { code: "PAUSED" }), "PAUSED")).toBe(false);
    expect(hasCode("PAUSED", "PAUSED")).toBe(false);
  });
});

describe("a stored error", () => {
  test("keeps name, message, stack and code, and comes back as an Error", () => {
    const thrown = Object.assign(new TypeError("bad row"), { code: "E_ROW" });
    const stored = storedError(thrown);
    expect(stored).toEqual({
      name: "TypeError",
      message: "bad row",
      stack: thrown.stack,
      code: "E_ROW",
    });
    const revived = revivedError(stored);
    expect(revived).toBeInstanceOf(Error);
    expect({ ...stored }).toEqual({
      name: revived.name,
      message: revived.message,
      stack: revived.stack,
      code: (revived as Error & { code: string }).code,
    });
  });

  test("has neither stack nor code where the thrown error has none", () => {
    const thrown = Object.assign(new Error("bare"), { code: 23, stack: undefined });
    expect(storedError(thrown)).toEqual({ name: "Error", message: "bare" });
    expect("code" in revivedError({ name: "Error", message: "bare" })).toBe(false);
  });

  test("is made of whatever was thrown", () => {
    expect(storedError("text")).toEqual({ name: "Error", message: "text" });
    expect(storedError(undefined)).toEqual({ name: "Error", message: "undefined" });
    expect(storedError(Symbol("s"))).toEqual({ name: "Error", message: "Symbol(s)" });
  });

  test("is made even of what cannot be printed", () => {
    const message = "(a value that cannot be printed)";
    const hostile = [
      Object.create(null) as object,
      { toString: throwing },
      Object.defineProperty(new Error("x"), "message", { get: throwing }),
      new Proxy(new Error("x"), { getPrototypeOf: throwing }),
    ];
    for (const thrown of hostile) expect(storedError(thrown)).toEqual({ name: "Error", message });
  });

  test("is cut to its limit and says so", () => {
    const exact = "x".repeat(ERROR_TEXT_MAX);
    expect(storedError(exact).message).toBe(exact);
    const { message } = storedError(`${exact}y`);
    expect(message).toHaveLength(ERROR_TEXT_MAX);
    expect(message.endsWith("x…")).toBe(true);
  });
});
