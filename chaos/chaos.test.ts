import { expect, test } from "vitest";

import { campaign } from "./campaign.ts";
import { isKept } from "./verdict.ts";

test("processes that are killed at random moments lose nothing and do nothing twice", async () => {
  const result = await campaign({ kills: 8, seed: 7 });
  expect(result).toMatchObject({
    kills: 8,
    lost: 0,
    duplicates: 0,
    torn: 0,
    astray: 0,
    leasesLeft: 0,
    unfinished: 0,
    integrity: "ok",
  });
  expect(result.delivered).toBeGreaterThan(0);
  expect(isKept(result)).toBe(true);
});

test("a campaign notices effects that do not commit with the acknowledgement", async () => {
  const result = await campaign({ kills: 8, seed: 7, canary: true });
  expect(result.duplicates).toBeGreaterThan(0);
  expect(isKept(result)).toBe(false);
});

test("a campaign that lost an item, repeated one or delivered nothing has failed", () => {
  const good = {
    acknowledged: 1,
    delivered: 1,
    unacknowledged: 0,
    dead: 0,
    deliveries: 1,
    redelivered: 0,
    deadThoughFine: 0,
    fenced: 0,
    lost: 0,
    duplicates: 0,
    torn: 0,
    astray: 0,
    leasesLeft: 0,
    unfinished: 0,
    integrity: "ok",
  };
  expect(isKept(good)).toBe(true);
  expect(isKept({ ...good, lost: 1 })).toBe(false);
  expect(isKept({ ...good, duplicates: 1 })).toBe(false);
  expect(isKept({ ...good, torn: 1 })).toBe(false);
  expect(isKept({ ...good, astray: 1 })).toBe(false);
  expect(isKept({ ...good, leasesLeft: 1 })).toBe(false);
  expect(isKept({ ...good, unfinished: 1 })).toBe(false);
  expect(isKept({ ...good, integrity: "row 1 missing" })).toBe(false);
  expect(isKept({ ...good, delivered: 0 })).toBe(false);
});
