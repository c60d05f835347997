import { expect, test } from "vitest";

import { isKept, workersCampaign } from "./workers/campaign.ts";

test("a worker's processes are killed at random moments, and every row is processed once", async () => {
  const verdict = await workersCampaign({ kills: 8, seed: 3 });
  expect(verdict).toMatchObject({ kills: 8, lost: 0, twice: 0, waiting: 0, integrity: "ok" });
  expect(verdict.rows).toBeGreaterThan(500);
  expect(isKept(verdict)).toBe(true);
});

test("a campaign of workers notices effects that do not commit with the loop", async () => {
  const verdict = await workersCampaign({ kills: 8, seed: 3, canary: true });
  expect(verdict.twice).toBe(verdict.calledAgain);
  expect(isKept(verdict)).toBe(verdict.calledAgain === 0);
});
