/** The codec law by example: what comes back is what went in, and how it looks as text. */
import { describe, expect, test } from "vitest";

import { createCodec } from "../../src/core/codec.ts";
import { hasCode } from "../../src/core/errors.ts";
import { DEPTH_MAX } from "../../src/core/limits.ts";
import { richFormat } from "../../src/runtime/rich.ts";
import { whilePatched } from "./patched.ts";
import { isSame } from "./same.ts";

const codec = createCodec(richFormat);

function roundTrip(item: unknown): unknown {
  const items = codec.decode([codec.encode(item)]);
  expect(items).toHaveLength(1);
  return items[0];
}

function nested(levels: number): unknown {
  let value: unknown = 1;
  for (let level = 0; level < levels; level++) value = level % 2 === 0 ? [value] : { value };
  return value;
}

const KEPT: Record<string, unknown> = {
  "a string": "x",
  "an empty string": "",
  "a number": 1.5,
  "the largest safe integer": Number.MAX_SAFE_INTEGER,
  "the smallest number": Number.MIN_VALUE,
  true: true,
  null: null,
  undefined,
  "-0": -0,
  NaN: Number.NaN,
  Infinity: Number.POSITIVE_INFINITY,
  "-Infinity": Number.NEGATIVE_INFINITY,
  "2^53 + 1 as a bigint": 2n ** 53n + 1n,
  "a lone surrogate": "\uD800 \uDFFF",
  "a NUL": "a\u0000b",
  "line separators and newlines": "\u2028\u2029\n\r,\n",
  "an emoji": "👩‍🚀",
  "an empty object": {},
  "an empty array": [],
  "a nested object": { user: { tags: ["a", "b"], address: { zip: null } } },
  "integer keys": { 2: "b", 1: "a", x: 1 },
  "an undefined property": { a: undefined, b: 1 },
  "a negative zero inside": { a: [0, -0] },
  "a date": new Date(Date.UTC(2026, 0, 1, 12, 30, 15, 123)),
  "a date before Christ": new Date(-1e14),
  "the last date": new Date(8.64e15),
  "an invalid date": new Date(Number.NaN),
  "a map": new Map<unknown, unknown>([
    ["a", 1],
    [{ key: 1n }, new Map([[Number.NaN, undefined]])],
  ]),
  "a set": new Set([1, "1", undefined, [new Date(0)]]),
  "a regular expression": /a+\/(?<name>b)/giu,
  "an empty regular expression": /(?:)/,
  "a null prototype": Object.assign(Object.create(null) as object, { a: 1, toString: 2 }),
  "an array with holes": Object.assign([1], { 3: "x", length: 5 }),
  "an array of holes": Object.assign([], { length: 1000 }),
  bytes: new Uint8Array([0, 1, 127, 128, 255]),
  "an array buffer": new Uint8Array([1, 2, 3]).buffer,
  "an empty array buffer": new ArrayBuffer(0),
  "a data view": new DataView(new Uint8Array([1, 2, 3, 4]).buffer, 1, 2),
  floats: new Float64Array([1.5, -0, Number.NaN, Number.POSITIVE_INFINITY]),
  bigints: new BigInt64Array([-1n, 2n ** 62n]),
  "a frozen object": { a: Object.freeze([1]) },
  "keys of Object.prototype": { constructor: 1, toString: null, hasOwnProperty: [], valueOf: "x" },
  "keys of Object.prototype beside a date": { constructor: 1, toString: "x", at: new Date(0) },
  "a toJSON that is data": { toJSON: "not a function" },
  "an own __proto__": JSON.parse('{"__proto__":{"polluted":true},"a":1}') as unknown,
  "the wrapper's own key": { "\u0000rich": 1 },
  "the wrapper's own key, nested": { a: { "\u0000rich": [1] } },
  "the wrapper's own key among others": { "\u0000rich": 1, a: 2 },
  "the wrapper's own key after others": { a: 2, "\u0000rich": 1 },
  "the wrapper's own key in what is wrapped": { "\u0000rich": { "\u0000rich": 1n } },
  "as deep as allowed": nested(DEPTH_MAX),
};

describe("what is kept", () => {
  test.each(Object.entries(KEPT))("%s comes back the same", (_title, item) => {
    expect(isSame(roundTrip(item), item)).toBe(true);
  });

  test("all of it at once, deep inside an item, comes back the same", () => {
    const alone = new Set(["as deep as allowed", "an own __proto__"]);
    const all = Object.entries(KEPT).filter(([title]) => !alone.has(title));
    expect(isSame(roundTrip({ inside: all }), { inside: all })).toBe(true);
  });

  test("every kind of typed array comes back the same", () => {
    const views = [
      Int8Array,
      Uint8Array,
      Uint8ClampedArray,
      Int16Array,
      Uint16Array,
      Int32Array,
      Uint32Array,
      Float32Array,
      Float64Array,
    ].map((View) => new View([1, 2, 3]));
    expect(isSame(roundTrip(views), views)).toBe(true);
  });

  test("a view over a part of a buffer is stored without the rest of it", () => {
    const secret = new TextEncoder().encode("public, and very secret");
    const text = codec.encode(secret.subarray(0, 6));
    expect(text).toBe(codec.encode(new TextEncoder().encode("public")));
    expect(codec.decode([text])).toEqual([new TextEncoder().encode("public")]);
    const view = new DataView(secret.buffer, 0, 6);
    expect(isSame(roundTrip(view), view)).toBe(true);
  });

  test("a value that appears twice is equal in both places", () => {
    const shared = { n: 1 };
    expect(roundTrip([shared, shared])).toStrictEqual([{ n: 1 }, { n: 1 }]);
    expect(roundTrip([shared, shared, 1n])).toStrictEqual([{ n: 1 }, { n: 1 }, 1n]);
  });

  test("a decoded item shares nothing with the one that was encoded", () => {
    const item = { list: [1], at: new Date(0) };
    const decoded = roundTrip(item) as typeof item;
    decoded.list.push(2);
    decoded.at.setTime(1);
    expect(item).toStrictEqual({ list: [1], at: new Date(0) });
  });

  test("hostile keys change no prototype", () => {
    roundTrip(
      JSON.parse('{"__proto__":{"polluted":1},"constructor":{"prototype":{"polluted":1}}}'),
    );
    roundTrip({ constructor: { prototype: { polluted: 1 } }, at: new Date(0) });
    expect("polluted" in {}).toBe(false);
  });

  test("a setter on Object.prototype does not swallow a key", () => {
    let ran = false;
    const set = (): void => {
      ran = true;
    };
    const get = (): undefined => undefined;
    whilePatched(Object.prototype, "trapped", { get, set }, () => {
      const item: unknown = Object.fromEntries([
        ["trapped", 1],
        ["at", new Date(0)],
      ]);
      expect(isSame(roundTrip(item), item)).toBe(true);
    });
    expect(ran).toBe(false);
  });

  test("a toJSON on a prototype changes nothing", () => {
    const decoded = whilePatched(Object.prototype, "toJSON", { value: () => "changed" }, () =>
      codec.decode([codec.encode({ a: [1, "x"] })]),
    );
    expect(decoded).toStrictEqual([{ a: [1, "x"] }]);
  });

  test("an enumerable property of Object.prototype is no property of an item", () => {
    const items = [{ a: 1 }, [{ b: 2n }]];
    const inherited = { enumerable: true, writable: true, value: 1 };
    const texts = whilePatched(Object.prototype, "inherited", inherited, () =>
      items.map((item) => codec.encode(item)),
    );
    // Not as plain JSON: the fast check cannot tell an added property from one that is hidden.
    expect(texts[0]).toBe(String.raw`{"\u0000rich":[{"a":1},1]}`);
    expect(codec.decode(texts)).toStrictEqual(items);
  });

  test("a Proxy around plain data counts as the data", () => {
    expect(roundTrip(new Proxy({ a: [1] }, {}))).toStrictEqual({ a: [1] });
  });
});

describe("the text", () => {
  test("plain items are their JSON, so that any tool can read them", () => {
    expect(codec.encode({ id: 1, tags: ["a", null], ok: true })).toBe(
      '{"id":1,"tags":["a",null],"ok":true}',
    );
  });

  test("rich items are wrapped and still JSON, on one line", () => {
    const text = codec.encode({ at: new Date(0), note: "a\nb" });
    expect(text.startsWith(String.raw`{"\u0000rich":[`)).toBe(true);
    expect(text).not.toContain("\n");
    expect(Object.keys(JSON.parse(text) as object)).toStrictEqual(["\u0000rich"]);
  });

  test("plain and rich items of several pieces come back in order", () => {
    const items = [1, new Date(0), { a: 1 }, undefined, "x", 5n];
    const texts = items.map((item) => codec.encode(item));
    const pieces = [texts.slice(0, 2).join(",\n"), texts[2] as string, texts.slice(3).join(",\n")];
    expect(codec.decode(pieces)).toStrictEqual(items);
  });

  test("no pieces are no items", () => {
    expect(codec.decode([])).toStrictEqual([]);
  });

  test("damaged text is STORAGE_FAILED, with the cause", () => {
    for (const damaged of ['{"a":', String.raw`{"\u0000rich":[["Unknown",1]]}`]) {
      const error = caught(() => codec.decode([damaged]));
      expect(hasCode(error, "STORAGE_FAILED")).toBe(true);
      expect(error).toHaveProperty("cause", expect.any(Error));
    }
  });
});

function caught(run: () => unknown): unknown {
  try {
    return { returned: run() };
  } catch (error) {
    return error;
  }
}

test("an accessor counts as the value it returns, in plain items and in rich ones", () => {
  const user = {
    first: "Ada",
    get name() {
      return `${this.first} L.`;
    },
  };
  expect(roundTrip(user)).toEqual({ first: "Ada", name: "Ada L." });
  expect(roundTrip({ user, at: new Date(5) })).toEqual({
    user: { first: "Ada", name: "Ada L." },
    at: new Date(5),
  });
});
