/** Everything that can go wrong on PostgreSQL, a little of each; the campaigns do it for long. */
import { expect, onTestFinished, test } from "vitest";

import { isKept, postgresCampaign, type PostgresVerdict } from "./postgres/campaign.ts";
import { Cluster } from "./postgres/cluster.ts";
import { FAULTS } from "./postgres/faults.ts";

const KEPT = {
  lost: 0,
  duplicates: 0,
  torn: 0,
  astray: 0,
  leasesLeft: 0,
  unfinished: 0,
  leftOpen: 0,
  integrity: "ok",
};

test("whatever happens to processes, connections and the server loses nothing and does nothing twice", async ({
  skip,
}) => {
  const cluster = await Cluster.open().catch((error: unknown) =>
    skip(`there is no server to crash: ${String(error)}`),
  );
  onTestFinished(async () => cluster.stop());
  const verdict = await postgresCampaign(cluster, {
    faults: FAULTS,
    rounds: FAULTS.length,
    seed: 7,
  });
  expect(verdict).toMatchObject({ ...KEPT, rounds: FAULTS.length });
  expect(verdict.delivered).toBeGreaterThan(0);
  expect(verdict.recoveries).toHaveLength(1);
}, 240_000);

test("a campaign that left something open, or took too long to recover, has failed", () => {
  const good: PostgresVerdict = {
    ...KEPT,
    rounds: 1,
    seconds: 1,
    acknowledged: 1,
    delivered: 1,
    unacknowledged: 0,
    dead: 0,
    deadThoughFine: 0,
    deliveries: 1,
    redelivered: 0,
    fenced: 0,
    counts: {},
    recoveries: [10, 4999],
  };
  expect(isKept(good)).toBe(true);
  expect(isKept({ ...good, leftOpen: 1 })).toBe(false);
  expect(isKept({ ...good, recoveries: [10, 5001] })).toBe(false);
  expect(isKept({ ...good, lost: 1 })).toBe(false);
});
