/** The codec law for whatever fast-check comes up with. */
import fc from "fast-check";
import { expect, test } from "vitest";

import { createCodec, joinItems, pickText, SEPARATOR, splitItems } from "../../src/core/codec.ts";
import { hasCode, type BatchworkError } from "../../src/core/errors.ts";
import { richFormat } from "../../src/runtime/rich.ts";
import { isSame } from "./same.ts";

/** More with `BATCHWORK_CODEC_RUNS=100000`. */
const RUNS = Number(process.env["BATCHWORK_CODEC_RUNS"] ?? 10_000);
const SOME_RUNS = Math.max(100, RUNS / 10);

const codec = createCodec(richFormat);

/** Every value that the codec has to keep, unless an own `__proto__` is beside something rich. */
const kept = fc.anything({
  withBigInt: true,
  withDate: true,
  withMap: true,
  withNullPrototype: true,
  withSet: true,
  withSparseArray: true,
  withTypedArray: true,
  stringUnit: "binary",
  key: fc.oneof(
    fc.string({ unit: "binary" }),
    fc.constantFrom("__proto__", "constructor", "toJSON", "toString", "\u0000rich", "0", "then"),
  ),
  values: [
    fc.boolean(),
    fc.integer(),
    fc.double(),
    fc.string({ unit: "binary" }),
    fc.constantFrom<unknown>(null, undefined, Number.NaN, -0, "\uD800", "\u0000", "\u2028", ",\n"),
    fc.date({ noInvalidDate: false }),
    fc.bigInt(),
    fc.constantFrom(/a/, /[\u2028"<]/g, /(?:)/u),
  ],
});

/** The same, and much that it has to refuse. */
const anything = fc.oneof(
  kept,
  fc.anything({
    withBoxedValues: true,
    withObjectString: true,
    withTypedArray: true,
    withSparseArray: true,
  }),
  fc.array(
    fc.oneof(
      kept,
      fc.constantFrom<unknown>(Symbol("s"), () => 1, new Error("x"), /a/y),
    ),
  ),
);

test(`decode(encode(x)) is x, or encode throws ITEM_INVALID (${RUNS} values)`, () => {
  let accepted = 0;
  fc.assert(
    fc.property(anything, (item) => {
      const text = encoded(item);
      if (text === null) return;
      accepted++;
      expect(text).not.toContain("\n");
      const [decoded] = codec.decode([text]);
      if (!isSame(decoded, item)) throw new Error(`changed: ${text}`);
    }),
    { numRuns: RUNS },
  );
  expect(accepted).toBeGreaterThan(RUNS / 2);
});

test("of what it can keep, only an own __proto__ is ever refused", () => {
  const refused = new Set<string>();
  fc.assert(
    fc.property(kept, (item) => {
      const error = refusal(item);
      if (error !== null) refused.add(/[^.]+$/.exec(error.field ?? "")?.[0] ?? "");
    }),
    { numRuns: SOME_RUNS },
  );
  expect([...refused]).toEqual(["__proto__"]);
});

test("the text of a JSON value is what JSON.stringify makes of it", () => {
  fc.assert(
    fc.property(fc.jsonValue({ stringUnit: "binary" }), (item) => {
      const text = JSON.stringify(item);
      fc.pre(isSame(JSON.parse(text), item));
      expect(codec.encode(item)).toBe(text);
    }),
    { numRuns: SOME_RUNS },
  );
});

test("the path of a refusal leads to the value at fault", () => {
  const step = fc.oneof(
    fc.nat(3),
    fc.string({ minLength: 1, maxLength: 5 }).map((key) => `k${key}`),
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 20 }), kept, (steps, neighbour) => {
      const bad = (): number => 1;
      let item: unknown = bad;
      for (const key of steps.toReversed()) {
        item =
          typeof key === "number"
            ? [...Array.from({ length: key }, () => 0), item]
            : { [key]: item };
      }
      const error = refusal(steps.length === 0 ? item : { first: item, second: neighbour });
      const prefix = steps.length === 0 ? "$" : "$.first";
      expect(error?.field).toBe(prefix + steps.map(written).join(""));
      expect(error?.value).toBe(bad);
    }),
    { numRuns: SOME_RUNS },
  );
});

test("picking items from a chunk's text is picking them from the items", () => {
  const chunk = fc.array(
    kept.filter((item) => encoded(item) !== null),
    { minLength: 1, maxLength: 20 },
  );
  fc.assert(
    fc.property(chunk, fc.array(fc.nat()), fc.nat(), fc.nat(), (items, wanted, a, b) => {
      const text = joinItems(items.map((item) => codec.encode(item)));
      expect(splitItems(text)).toHaveLength(items.length);
      const indices = [...new Set(wanted.map((n) => n % items.length))].toSorted((x, y) => x - y);
      const from = a % items.length;
      const count = 1 + (b % (items.length - from));
      const run = pickText(text, { from, count }, items.length);
      expect(isSame(codec.decode([run]), items.slice(from, from + count))).toBe(true);
      if (indices.length === 0) return;
      const list = pickText(text, indices, items.length);
      expect(
        isSame(
          codec.decode([list]),
          indices.map((index) => items[index]),
        ),
      ).toBe(true);
    }),
    { numRuns: SOME_RUNS },
  );
});

test("all items of a chunk are picked without taking it apart", () => {
  const text = `1${SEPARATOR}2${SEPARATOR}3`;
  expect(pickText(text, { from: 0, count: 3 }, 3)).toBe(text);
  expect(pickText(text, [0, 1, 2], 3)).toBe(text);
  expect(pickText(text, [0, 2], 3)).toBe("1,\n3");
  expect(pickText(text, { from: 1, count: 1 }, 3)).toBe("2");
});

function encoded(item: unknown): string | null {
  return refusal(item) === null ? codec.encode(item) : null;
}

/** Why the item is refused, or `null`; any other error is thrown. */
function refusal(item: unknown): BatchworkError | null {
  try {
    codec.encode(item);
    return null;
  } catch (error) {
    if (hasCode(error, "ITEM_INVALID")) return error;
    throw error;
  }
}

function written(step: number | string): string {
  if (typeof step === "number") return `[${step}]`;
  return /^[\w$]+$/.test(step) ? `.${step}` : `[${JSON.stringify(step)}]`;
}
