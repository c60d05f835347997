/** Items whose adder waits for their result. */
import fc from "fast-check";
import { expect, test } from "vitest";

import { createCodec, joinItems } from "../../src/core/codec.ts";
import {
  deathsToKeep,
  resultTtlOf,
  SubmittedItem,
  submittedText,
} from "../../src/core/submitted.ts";
import { richFormat } from "../../src/runtime/rich.ts";
import { isSame } from "./same.ts";

const codec = createCodec(richFormat);

/** Items, among them such as look like wrapped ones. */
const item = fc.oneof(
  fc.jsonValue(),
  fc.date(),
  fc.constantFrom<unknown>(
    { "\u0000result": [1, 2] },
    { "\u0000result": [null, { "\u0000rich": 1 }] },
    { "\u0000rich": [1] },
    { "\u0000result": [1, 2], x: 1 },
    { "\u0000r": 1 },
    String.raw`{"\u0000result":[5,1]}`,
    undefined,
    [{ "\u0000result": [1, 2] }],
  ),
);

const ttl = fc.oneof(fc.nat(), fc.constant(Number.POSITIVE_INFINITY), fc.constant(31_536_000_000));

test("items come back as they were, and those that were submitted are told of", () => {
  const given = fc.array(fc.tuple(item, fc.option(ttl)), { minLength: 1, maxLength: 8 });
  fc.assert(
    fc.property(given, (items) => {
      const texts = items.map(([one, ttlMs]) => {
        const text = codec.encode(one);
        return ttlMs === null ? text : submittedText(text, ttlMs);
      });
      const told: (number | null)[] = items.map(() => null);
      const decoded = codec.decode([joinItems(texts)], (position, ttlMs) => {
        told[position] = ttlMs;
      });
      expect(told).toEqual(items.map(([, ttlMs]) => ttlMs));
      expect(texts.map((text) => resultTtlOf(text))).toEqual(told);
      for (const [n, [one]] of items.entries()) {
        expect(isSame(decoded[n], one)).toBe(true);
      }
      expect(codec.decode([joinItems(texts)])).toEqual(decoded);
    }),
    { numRuns: 1000 },
  );
});

test("nobody looks for submitted items before there are any", () => {
  expect(SubmittedItem.areThere).toBe(false);
  expect(new SubmittedItem(1, 50)).toMatchObject({ item: 1, ttlMs: 50 });
  expect(SubmittedItem.areThere).toBe(true);
});

test("of references only submitted items say for how long", () => {
  expect(resultTtlOf(new SubmittedItem({ id: 1 }, 50))).toBe(50);
  expect(resultTtlOf({ id: 1 })).toBeNull();
  expect(resultTtlOf(undefined)).toBeNull();
});

test("of dead items those that were submitted have a result", () => {
  const error = { name: "Error", message: "no luck" };
  const dead = [3, 5, 8].map((position) => ({ position, error }));
  const items = ["1", submittedText("2", 1000), new SubmittedItem(3, 2000)];
  const kept = { kind: "failed", value: null, error };
  expect(deathsToKeep(["1:3", "1:5", "2:0"], items, dead)).toEqual([
    { ...kept, id: "1:5", ttlMs: 1000 },
    { ...kept, id: "2:0", ttlMs: 2000 },
  ]);
});
