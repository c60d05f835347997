import { expect, test } from "vitest";

import { isWorkersKept, workersCampaign } from "./workers/campaign.ts";

test("a worker's processes are killed at random moments, and every row is processed once", async () => {
  const verdict = await workersCampaign({ kills: 4, seed: 3 });
  expect(verdict).toMatchObject({ kills: 4, lost: 0, twice: 0, waiting: 0, integrity: "ok" });
  expect(verdict.rows).toBeGreaterThan(200);
  expect(isWorkersKept(verdict)).toBe(true);
  for (const broken of [{ lost: 1 }, { twice: 1 }, { waiting: 1 }, { integrity: "torn" }]) {
    expect(isWorkersKept({ ...verdict, ...broken })).toBe(false);
  }
});
