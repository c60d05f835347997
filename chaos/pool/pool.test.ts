import { expect, test } from "vitest";

import { isPoolKept, poolCampaign } from "./campaign.ts";
import { PARALLELISM } from "./work.ts";

test("four processes that are killed at random moments never lease more tasks than they may", async () => {
  const verdict = await poolCampaign({ kills: 10, seed: 3 });
  expect(verdict).toMatchObject({ kills: 10, lost: 0, untold: 0, unfinished: 0, dead: 0 });
  expect(verdict.mostLeased).toBeGreaterThan(0);
  expect(verdict.mostLeased).toBeLessThanOrEqual(PARALLELISM);
  expect(verdict.begun).toBeGreaterThan(0);
  expect(isPoolKept(verdict)).toBe(true);
});

test("a campaign that lost a task, told nobody of one or ran too many has failed", () => {
  const good = {
    kills: 1,
    acknowledged: 1,
    begun: 1,
    begunAgain: 0,
    mostLeased: PARALLELISM,
    mostRunning: PARALLELISM,
    mostOfOneKey: 1,
    zombies: 0,
    lost: 0,
    untold: 0,
    unfinished: 0,
    dead: 0,
  };
  expect(isPoolKept(good)).toBe(true);
  for (const wrong of ["lost", "untold", "unfinished", "dead"]) {
    expect(isPoolKept({ ...good, [wrong]: 1 })).toBe(false);
  }
  expect(isPoolKept({ ...good, begun: 0 })).toBe(false);
  expect(isPoolKept({ ...good, mostLeased: PARALLELISM + 1 })).toBe(false);
  expect(isPoolKept({ ...good, mostRunning: PARALLELISM + 1 })).toBe(false);
  expect(isPoolKept({ ...good, mostOfOneKey: 2 })).toBe(false);
  expect(isPoolKept({ ...good, mostRunning: PARALLELISM + 1, zombies: 1 })).toBe(true);
});
