import { expect, onTestFinished, test } from "vitest";

import { Cluster } from "../postgres/cluster.ts";
import { isPoolKept, poolCampaign, type PoolVerdict } from "./campaign.ts";
import { PARALLELISM } from "./work.ts";

const KEPT = {
  lost: 0,
  wrong: 0,
  untold: 0,
  duplicates: 0,
  unrun: 0,
  unfinished: 0,
  dead: 0,
  leftOpen: 0,
  integrity: "ok",
};

test("four processes that are killed at random moments never lease more tasks than they may", async () => {
  const verdict = await poolCampaign({ kills: 10, seed: 3 });
  expect(verdict).toMatchObject({ ...KEPT, kills: 10 });
  expect(verdict.mostLeased).toBeGreaterThan(0);
  expect(verdict.mostLeased).toBeLessThanOrEqual(PARALLELISM);
  expect(verdict.begun).toBeGreaterThan(0);
  expect(isPoolKept(verdict)).toBe(true);
}, 240_000);

test("four processes on one server that are killed lose no task and never lease too many", async ({
  skip,
}) => {
  const cluster = await Cluster.open().catch((error: unknown) =>
    skip(`there is no server to start: ${String(error)}`),
  );
  onTestFinished(async () => cluster.stop());
  const verdict = await poolCampaign({ kills: 6, seed: 3, cluster });
  expect(verdict).toMatchObject({ ...KEPT, kills: 6 });
  expect(verdict.mostLeased).toBeGreaterThan(0);
  expect(verdict.mostLeased).toBeLessThanOrEqual(PARALLELISM);
  expect(isPoolKept(verdict)).toBe(true);
}, 240_000);

test("a campaign that lost a task, told nobody of one or ran too many has failed", () => {
  const good: PoolVerdict = {
    ...KEPT,
    kills: 1,
    acknowledged: 1,
    begun: 1,
    begunAgain: 0,
    mostLeased: PARALLELISM,
    mostRunning: PARALLELISM,
    mostOfOneKey: 1,
    zombies: 0,
  };
  expect(isPoolKept(good)).toBe(true);
  const wrongs = ["lost", "wrong", "untold", "duplicates", "unrun", "unfinished", "dead"];
  for (const wrong of [...wrongs, "leftOpen"]) {
    expect(isPoolKept({ ...good, [wrong]: 1 }), wrong).toBe(false);
  }
  expect(isPoolKept({ ...good, begun: 0 })).toBe(false);
  expect(isPoolKept({ ...good, integrity: "3 rows left in inbox" })).toBe(false);
  expect(isPoolKept({ ...good, mostLeased: PARALLELISM + 1 })).toBe(false);
  expect(isPoolKept({ ...good, mostRunning: PARALLELISM + 1 })).toBe(false);
  expect(isPoolKept({ ...good, mostOfOneKey: 2 })).toBe(false);
  expect(isPoolKept({ ...good, mostRunning: PARALLELISM + 1, zombies: 1 })).toBe(true);
});
