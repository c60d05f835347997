/** What `ctx.progress` costs: as much for a large batch as for a small one. */
import pg from "pg";
import { expect, test } from "vitest";

import { systemClock } from "../../../src/runtime/clock.ts";
import { postgres } from "../../../src/storage/postgres/index.ts";
import type { QueueClaim } from "../../../src/storage/storage.ts";
import { describePostgres, testDatabase } from "../../postgres/database.ts";
import { chunkOf, claimOf, LEASE_MS, numbers, queueOf } from "./fixture.ts";

const CALLS = 100;

describePostgres("progress on PostgreSQL", () => {
  const { pool, url } = testDatabase();

  test("a call writes one row, however many items the batch has", async () => {
    const own = new pg.Pool({ connectionString: url, max: 1 });
    const storage = postgres({ pool: own, notifications: false });
    await storage.open({ clock: systemClock });
    const queue = await queueOf(storage, "progress");
    const incarnation = await storage.enroll(LEASE_MS);
    await storage.append(numbers(10).map(() => chunkOf(queue, numbers(500))));
    const request = claimOf(incarnation, queue);
    const claims = request.claims.map((claim): QueueClaim => ({ ...claim, maxSize: 5000 }));
    const [batch, ...others] = (await storage.exchange({ ...request, claims })).claimed;
    expect([batch?.count, others.length]).toEqual([5000, 0]);
    for (let n = 0; n < CALLS; n++) {
      expect(await storage.progress(batch ?? { batch: 0, token: 0 }, n, "some")).toBe(true);
    }
    await storage.close();
    // The server hears of what a connection did when it ends, at the latest.
    await own.end();
    await expect.poll(async () => (await written()).get("batches")).toBeGreaterThanOrEqual(CALLS);
    for (const [name, rows] of await written()) {
      expect(rows, name).toBeLessThan(name === "batches" ? 2 * CALLS : CALLS);
    }
  });

  /** Rows that were written of each table. */
  async function written(): Promise<Map<string, number>> {
    const { rows } = await pool.query<{ readonly name: string; readonly n: number }>(
      `SELECT relname AS name, (n_tup_ins + n_tup_upd + n_tup_del)::int AS n
      FROM pg_stat_user_tables WHERE schemaname = 'batchwork'`,
    );
    return new Map(rows.map(({ name, n }) => [name, n]));
  }
});
