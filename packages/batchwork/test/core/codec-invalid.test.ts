/** What the codec refuses, and that it says where and what to do. */
import { describe, expect, test } from "vitest";

import { createCodec } from "../../src/core/codec.ts";
import { BatchworkError } from "../../src/core/errors.ts";
import { DEPTH_MAX, ITEM_BYTES_MAX, ITEM_VALUES_MAX } from "../../src/core/limits.ts";
import { richFormat } from "../../src/runtime/rich.ts";

const codec = createCodec(richFormat);

function refusal(item: unknown, using = codec): BatchworkError {
  try {
    using.encode(item);
  } catch (error) {
    if (error instanceof BatchworkError) return error;
    throw error;
  }
  throw new Error("the item was accepted");
}

class Money {
  readonly cents = 5;
}

function withProperty<T extends object>(target: T, key: PropertyKey, property: object): T {
  return Object.defineProperty(target, key, { enumerable: true, ...property });
}

function withPrototype(prototype: object): object {
  return Object.create(prototype) as object;
}

function detached(): ArrayBuffer {
  const buffer = new ArrayBuffer(4);
  structuredClone(buffer, { transfer: [buffer] });
  return buffer;
}

function symbolKeyed(): object {
  return { [Symbol("secret")]: 1 };
}

function throwing(): never {
  throw new Error("not today");
}

const NAMELESS = [
  class {
    readonly a = 1;
  },
][0] as new () => object;
const PROTO: unknown = JSON.parse('{"__proto__":1}');
const DISGUISED: unknown = Object.setPrototypeOf(new Date(0), Object.prototype);
const BOXED: unknown = Reflect.construct(Number, [1]);
const INSTANCE = /is an instance of/;
const EXTRAS = /with extra properties/;

const REFUSED: [title: string, item: unknown, path: string, message: RegExp][] = [
  ["a function", () => 1, "$", /is a function; store data only/],
  ["a method", { user: { save: throwing } }, "$.user.save", /is a function/],
  ["a toJSON method", { toJSON: throwing }, "$.toJSON", /is a function/],
  ["a symbol", { user: { tags: [1, 2, 3, Symbol("x")] } }, "$.user.tags[3]", /is a symbol/],
  ["a symbol key", { a: symbolKeyed() }, "$.a", /symbol key Symbol\(secret\)/],
  ["a symbol key on an array", withProperty([1], Symbol("s"), { value: 1 }), "$", EXTRAS],
  ["a class instance", { price: new Money() }, "$.price", /is an instance of Money/],
  ["an instance of a nameless class", withPrototype({}), "$", /instance of an unknown class/],
  ["an instance of a class without a name", new NAMELESS(), "$", /instance of an unknown class/],
  ["an error", [new TypeError("x")], "$[0]", /instance of TypeError/],
  ["a Buffer", { bytes: Buffer.from("abc") }, "$.bytes", /instance of Buffer/],
  ["a promise", Promise.resolve(1), "$", /instance of Promise/],
  ["a weak map", new WeakMap(), "$", INSTANCE],
  ["a boxed number", BOXED, "$", /instance of Number/],
  ["a URL", new URL("https://example.com"), "$", /instance of URL/],
  ["an instance of a subclass of Array", new (class List extends Array {})(), "$", /of List/],
  ["an instance of a subclass of Map", new (class Index extends Map {})(), "$", /of Index/],
  [
    "an accessor that returns what cannot be stored",
    withProperty({}, "a", { get: () => Symbol("s") }),
    "$.a",
    /is a symbol/,
  ],
  [
    "a setter",
    withProperty({}, "a", { set: () => undefined }),
    "$.a",
    /has a setter and no getter/,
  ],
  ["an accessor that throws", [withProperty({}, "a", { get: throwing })], "$[0].a", /an accessor/],
  ["an accessor of an index", withProperty([1], 0, { get: throwing }), "$[0]", /is an accessor/],
  [
    "a hidden property",
    withProperty({}, "a", { value: 1, enumerable: false }),
    "$.a",
    /enumerable/,
  ],
  ["a property on an array", Object.assign([1], { total: 1 }), "$", /is an array with extra/],
  ["the result of a match", /b/.exec("abc"), "$", /is an array with extra/],
  ["a property on a date", Object.assign(new Date(0), { zone: "CET" }), "$", EXTRAS],
  ["a property on a map", { m: Object.assign(new Map(), { a: 1 }) }, "$.m", /Map with extra/],
  ["a property on a set", Object.assign(new Set(), { a: 1 }), "$", /Set with extra/],
  ["a property on bytes", Object.assign(new Uint8Array(2), { a: 1 }), "$", /Uint8Array with extra/],
  ["a property on a buffer", Object.assign(new ArrayBuffer(2), { a: 1 }), "$", EXTRAS],
  ["a function in a map", new Map([[{ a: 1n }, throwing]]), "$.values()[0]", /is a function/],
  ["a function as a map's key", new Map([[{ f: throwing }, 1]]), "$.keys()[0].f", /a function/],
  ["a function in a set", { s: new Set([1, throwing]) }, "$.s.values()[1]", /is a function/],
  [
    "a regular expression in use",
    withProperty(/a/g, "lastIndex", { value: 1, enumerable: false }),
    "$",
    /lastIndex/,
  ],
  ["a shared buffer", { b: new SharedArrayBuffer(4) }, "$.b", /of SharedArrayBuffer/],
  ["a view over a shared buffer", new Uint8Array(new SharedArrayBuffer(4)), "$", /shared buffer/],
  ["a resizable buffer", new ArrayBuffer(4, { maxByteLength: 8 }), "$", /resizable buffer/],
  ["a view over a detached buffer", detachedView(), "$", /detached buffer/],
  ["a detached buffer", detached(), "$", /detached buffer/],
  ["what only inherits from Date", withPrototype(Date.prototype), "$", /of Date/],
  ["what only inherits from RegExp", withPrototype(RegExp.prototype), "$", /of RegExp/],
  ["what only inherits from Map", withPrototype(Map.prototype), "$", /of Map/],
  ["what only inherits from Set", withPrototype(Set.prototype), "$", /of Set/],
  [
    "what only inherits from ArrayBuffer",
    withPrototype(ArrayBuffer.prototype),
    "$",
    /of ArrayBuffer/,
  ],
  ["what only inherits from DataView", withPrototype(DataView.prototype), "$", /of DataView/],
  ["what only inherits from Uint8Array", withPrototype(Uint8Array.prototype), "$", /of Uint8Array/],
  ["a date in disguise", { a: 1n, d: DISGUISED }, "$.d", /disguise/],
  [
    "an own __proto__ beside a date",
    { a: PROTO, at: new Date(0) },
    "$.a.__proto__",
    /named "__proto__"/,
  ],
  [
    "an own __proto__ that has to be wrapped",
    { "\u0000rich": PROTO },
    `$["\\u0000rich"].__proto__`,
    /named "__proto__"/,
  ],
];

function detachedView(): Uint8Array {
  const view = new Uint8Array(4);
  structuredClone(view.buffer, { transfer: [view.buffer] });
  return view;
}

describe("what is refused", () => {
  test.each(REFUSED)("%s, with its path", (_title, item, path, message) => {
    const error = refusal(item);
    expect(error.code).toBe("ITEM_INVALID");
    expect(error.field).toBe(path);
    expect(error.message).toContain(`The item cannot be stored: ${path} `);
    expect(error.message).toMatch(message);
  });

  test("the error carries the value at fault", () => {
    const price = new Money();
    expect(refusal({ price }).value).toBe(price);
    expect(refusal([throwing]).value).toBe(throwing);
  });

  test("the path quotes keys that are no identifiers and cuts long ones", () => {
    expect(refusal({ "a b": { "": { 'c"': throwing } } }).field).toBe(
      String.raw`$["a b"][""]["c\""]`,
    );
    const long = refusal({ ["k".repeat(5000)]: throwing });
    expect(long.field).toBe(`$["${"k".repeat(80)}…"]`);
  });
});

describe("a Proxy", () => {
  const traps: [trap: string, handler: ProxyHandler<object>][] = [
    ["ownKeys", { ownKeys: throwing }],
    ["getPrototypeOf", { getPrototypeOf: throwing }],
    ["getOwnPropertyDescriptor", { getOwnPropertyDescriptor: throwing }],
    ["has", { getPrototypeOf: () => new Proxy({}, { getOwnPropertyDescriptor: throwing }) }],
  ];

  test.each(traps)("that throws in %s is refused, with the cause", (_trap, handler) => {
    const error = refusal({ list: [new Proxy({ a: 1 }, handler)] });
    expect(error.code).toBe("ITEM_INVALID");
    expect(error.field).toMatch(/^\$\.list\[0\]/);
    expect(error.cause).toEqual(new Error("not today"));
  });

  test("that is revoked is refused", () => {
    const { proxy, revoke } = Proxy.revocable({}, {});
    revoke();
    expect(refusal({ proxy }).field).toBe("$.proxy");
    expect(refusal(proxy).field).toBe("$");
  });

  test("that denies the keys it lists is refused", () => {
    const denying = new Proxy({ a: 1 }, { getOwnPropertyDescriptor: () => undefined });
    expect(refusal({ denying }).field).toBe("$.denying.a");
  });

  test("that shows one thing to the check and another to JSON is refused", () => {
    const error = refusal(new Proxy({ a: 1 }, { get: throwing }));
    expect(error.code).toBe("ITEM_INVALID");
    expect(error.field).toBe("$");
    expect(error.cause).toEqual(new Error("not today"));
  });

  test("that throws an error of ours has it passed on", () => {
    const inner = new BatchworkError("STOPPED", "over");
    const trap = (): never => {
      throw inner;
    };
    expect(refusal({ a: new Proxy({}, { ownKeys: trap }) })).toBe(inner);
  });
});

describe("depth and size", () => {
  function deep(levels: number): unknown {
    let value: unknown = 1;
    for (let level = 0; level < levels; level++) value = { d: value };
    return value;
  }

  test("one level too many is refused at that level", () => {
    const error = refusal(deep(DEPTH_MAX + 1));
    expect(error.field).toBe(`$${".d".repeat(DEPTH_MAX)}`);
    expect(error.message).toMatch(/nested deeper than 64 levels/);
    expect(refusal([1n, deep(DEPTH_MAX)]).code).toBe("ITEM_INVALID");
  });

  test("20,000 levels are refused and overflow no stack", () => {
    expect(refusal(deep(20_000)).code).toBe("ITEM_INVALID");
    let list: unknown[] = [];
    for (let level = 0; level < 20_000; level++) list = [list];
    expect(refusal(list).code).toBe("ITEM_INVALID");
  });

  test("a cycle is refused, with both its ends", () => {
    const cyclic: { list: unknown[] } = { list: [] };
    cyclic.list.push(1, { up: cyclic.list });
    const error = refusal(cyclic);
    expect(error.field).toBe("$.list[1].up");
    expect(error.message).toMatch(/refers back to \$\.list;/);
    const map = new Map<string, unknown>();
    map.set("self", map);
    expect(refusal(map).message).toMatch(/\$\.values\(\)\[0\] refers back to \$;/);
  });

  test("data that doubles at every level is refused before memory runs out", () => {
    let value: unknown = 1;
    for (let level = 0; level < 60; level++) {
      value = level % 2 === 0 ? [value, value] : { a: value, b: value };
    }
    expect(refusal(value).code).toBe("ITEM_TOO_LARGE");
  });

  test("as many values as fit into an item's bytes are accepted, one more is not", () => {
    const full = Array.from({ length: ITEM_VALUES_MAX }, () => 1);
    expect(codec.encode(full).length).toBeGreaterThan(ITEM_BYTES_MAX);
    const error = refusal([...full, 1]);
    expect(error.code).toBe("ITEM_TOO_LARGE");
    expect(error.field).toBe("$");
    expect(error.message).toMatch(/at most 256 KiB, so 131072 values/);
    expect(refusal([1n, full.slice(1)]).code).toBe("ITEM_TOO_LARGE");
  });

  test("an object with too many keys is refused", () => {
    const keys = Array.from({ length: ITEM_VALUES_MAX + 1 }, (_, n): [string, number] => [
      `k${n}`,
      n,
    ]);
    expect(refusal(Object.fromEntries(keys)).code).toBe("ITEM_TOO_LARGE");
  });

  test("a sparse array of four billion elements is refused at once", () => {
    const sparse: number[] = [];
    sparse[4_000_000_000] = 1;
    expect(refusal(sparse).code).toBe("ITEM_TOO_LARGE");
  });

  test("a large buffer is refused before its bytes are listed", () => {
    const error = refusal({ a: { b: new Uint8Array(100_000_000) } });
    expect(error.code).toBe("ITEM_TOO_LARGE");
    expect(error.field).toBe("$.a.b");
  });
});

test("a rich format that fails makes the item invalid, with the cause", () => {
  const failing = createCodec({ stringify: throwing, revive: throwing });
  const error = refusal(1n, failing);
  expect(error.code).toBe("ITEM_INVALID");
  expect(error.field).toBe("$");
  expect(error.value).toBe(1n);
  expect(error.cause).toEqual(new Error("not today"));
});
