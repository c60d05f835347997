/** A full disk and jumping clocks, a little of each; the campaigns do it for long. */
import { expect, test } from "vitest";

import { clockCampaign } from "./sqlite/clock-jumps.ts";
import { diskFullCampaign } from "./sqlite/disk-full.ts";
import { isKept } from "./sqlite/ledger.ts";

const KEPT = {
  lost: 0,
  duplicates: 0,
  late: 0,
  unfinished: 0,
  ranBack: 0,
  integrity: "ok",
};

test("a database that may not grow refuses adds, answers, and goes on when there is room", async () => {
  const verdict = await diskFullCampaign({ rounds: 4, seed: 7 });
  expect(verdict).toMatchObject({ ...KEPT, rounds: 4 });
  expect(verdict.refused).toBeGreaterThanOrEqual(16);
  expect(verdict.answeredWhileFull).toBe(4);
  expect(verdict.delivered).toBeGreaterThanOrEqual(verdict.acknowledged);
  expect(isKept(verdict)).toBe(true);
});

test("clocks that jump by days lose nothing, do nothing twice and make nothing late", async () => {
  const verdict = await clockCampaign({ rounds: 30, seed: 7 });
  expect(verdict).toMatchObject({ ...KEPT, rounds: 30, jumps: 30, refused: 0 });
  expect(verdict.delivered).toBe(verdict.acknowledged);
  expect(isKept(verdict)).toBe(true);
});

test("the campaign of jumping clocks notices effects apart from the acknowledgement", async () => {
  const verdict = await clockCampaign({ rounds: 12, seed: 7, canary: true });
  expect(verdict.duplicates).toBeGreaterThan(0);
  expect(isKept(verdict)).toBe(false);
});
