/** What goes wrong on PostgreSQL when a lock and what is read under it are one statement. */
import { expect, test } from "vitest";

import type { ClaimedBatch } from "../../../src/storage/storage.ts";
import { describePostgres, testDatabase } from "../../postgres/database.ts";
import { chunkOf, claimOf, itemsOf, LEASE_MS, numbers, opened, queueOf } from "./fixture.ts";

describePostgres("claims that race", () => {
  const { pool } = testDatabase();

  test("two sealers of one group make one full batch and one rest, never two parts", async () => {
    const [one, two] = [await opened(pool), await opened(pool)];
    const queue = await queueOf(one, "sealers");
    const incarnations = [await one.enroll(LEASE_MS), await two.enroll(LEASE_MS)];
    for (let round = 0; round < 60; round++) {
      await one.append([chunkOf(queue, numbers(8)), chunkOf(queue, numbers(7, 8))]);
      const claimed: ClaimedBatch[] = [];
      // A claim that others were in the way of for long answers with nothing: it looks again.
      for (let look = 0; countOf(claimed) < 15 && look < 50; look++) {
        const answers = await Promise.all([
          one.exchange(claimOf(incarnations[0] as number, queue)),
          two.exchange(claimOf(incarnations[1] as number, queue)),
        ]);
        claimed.push(...answers.flatMap((answer) => answer.claimed));
      }
      const sizes = claimed.map(({ count }) => count).toSorted((a, b) => a - b);
      expect(sizes).toEqual([5, 10]);
      const found = claimed.flatMap(itemsOf).map(Number);
      expect(found.toSorted((a, b) => a - b)).toEqual(numbers(15));
      const settlements = claimed.map(({ batch, token }) => {
        return { batch, token, outcome: { kind: "done" as const } };
      });
      const [incarnation] = incarnations as [number, number];
      await one.exchange({ incarnation, settlements, claims: [], alone: false });
    }
    const left = await pool.query("SELECT count(*) FROM batchwork.payloads");
    expect(left.rows).toEqual([{ count: "0" }]);
  });

  test("a claim that waited for another's lock does not see what that one took", async () => {
    const storage = await opened(pool);
    const queue = await queueOf(storage, "snapshot");
    const [first, second] = [await storage.enroll(LEASE_MS), await storage.enroll(LEASE_MS)];
    await storage.append([chunkOf(queue, numbers(20))]);
    // Sealed and leased, but not committed until the other waits for it.
    const client = await pool.connect();
    await client.query("BEGIN ISOLATION LEVEL READ COMMITTED");
    const claims = [{ queue, maxSize: 10, maxBytes: 1_000_000, groupConcurrency: 1000, limit: 1 }];
    await client.query("SELECT * FROM batchwork.exchange($1, '{}', '{}', '{}', $2, false, NULL)", [
      first,
      JSON.stringify(claims),
    ]);
    const waiting = storage.exchange(claimOf(second, queue));
    await expect.poll(async () => lockWaits()).toBeGreaterThan(0);
    await client.query("COMMIT");
    client.release();
    const { claimed } = await waiting;
    expect(claimed.map(itemsOf)).toEqual([numbers(10, 10)]);
  });

  test("the database itself refuses to put an item into two batches", async () => {
    const storage = await opened(pool);
    const queue = await queueOf(storage, "unique");
    const incarnation = await storage.enroll(LEASE_MS);
    await storage.append([chunkOf(queue, numbers(10))]);
    const { claimed } = await storage.exchange(claimOf(incarnation, queue));
    expect(claimed).toHaveLength(1);
    const copy = `INSERT INTO batchwork.members (batch, place, chunk, from_index, count)
      SELECT batch + 1000000, place, chunk, from_index, count FROM batchwork.members
      WHERE batch = $1`;
    await expect(pool.query(copy, [claimed[0]?.batch])).rejects.toMatchObject({ code: "23505" });
  });

  function countOf(batches: readonly ClaimedBatch[]): number {
    return batches.reduce((sum, { count }) => sum + count, 0);
  }

  async function lockWaits(): Promise<number> {
    const { rows } = await pool.query<{ readonly n: number }>(
      "SELECT count(*)::int AS n FROM pg_stat_activity WHERE wait_event_type = 'Lock'",
    );
    return rows[0]?.n ?? 0;
  }
});
