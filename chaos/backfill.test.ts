import { expect, test } from "vitest";

import { backfillCampaign, isProven } from "./backfill/campaign.ts";

test("a backfill that is killed and paused again and again does every row once, and proves it", async () => {
  const verdict = await backfillCampaign({ rows: 20_000, kills: 5, pauses: 3, seed: 11 });
  expect(verdict).toMatchObject({
    status: "completed",
    lost: 0,
    twice: 0,
    cameTwice: 0,
    missed: 0,
    repeated: 0,
    proven: true,
    integrity: "ok",
  });
  // It may be done before the last of them.
  expect(verdict.pauses).toBeGreaterThanOrEqual(1);
  expect(verdict.kills).toBeGreaterThanOrEqual(3);
  expect(verdict.came).toBeGreaterThan(0);
  expect(isProven(verdict)).toBe(true);
});

test("a cursor that skips rows is reported by the proof", async () => {
  const options = { rows: 20_000, kills: 2, pauses: 1, seed: 12, canary: true };
  const verdict = await backfillCampaign(options);
  expect(verdict).toMatchObject({ status: "completed", proven: false, twice: 0 });
  expect(verdict.missed).toBeGreaterThan(10);
  expect(isProven(verdict)).toBe(false);
});
