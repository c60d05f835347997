/** How claims on PostgreSQL count what is in the inbox, and what they seal in one go. */
import { expect, test } from "vitest";

import type { Exchanged } from "../../../src/storage/storage.ts";
import { describePostgres, testDatabase } from "../../postgres/database.ts";
import { chunkOf, claimOf, itemsOf, LEASE_MS, numbers, opened, queueOf } from "./fixture.ts";

describePostgres("a claim on PostgreSQL", () => {
  const { pool } = testDatabase();

  test("seals chunks that fill a batch each in one go, and what lies between them as ever", async () => {
    const storage = await opened(pool);
    const queue = await queueOf(storage, "whole chunks");
    const incarnation = await storage.enroll(LEASE_MS);
    // A batch of ten each, then parts, then two batches again; the last one waits for a free slot.
    const sizes = [10, 10, 10, 4, 9, 10, 10, 7];
    let from = 0;
    for (const size of sizes) {
      await storage.append([chunkOf(queue, numbers(size, from))]);
      from += size;
    }
    const claim = async (limit: number): Promise<Exchanged> =>
      storage.exchange(claimOf(incarnation, queue, limit));
    const first = await claim(2);
    expect(first.claimed.map(itemsOf)).toEqual([numbers(10), numbers(10, 10)]);
    expect(first.more).toBe(true);
    const second = await claim(6);
    expect(second.claimed.map(itemsOf)).toEqual(
      [20, 30, 40, 50, 60].map((at) => numbers(Math.min(10, from - at), at)),
    );
    expect(second.more).toBe(false);
    const all = [...first.claimed, ...second.claimed];
    expect(all.map(({ members }) => members.length)).toEqual([1, 1, 1, 2, 2, 2, 2]);
    expect(all.map(({ left }) => left)).toEqual([50, 50, 0, 0, 0, 0, 0]);
    const ids = all.map(({ batch }) => batch);
    expect(ids).toEqual(ids.toSorted((a, b) => a - b));
  });

  test("seals no more of them than items are known to wait, or than the limit of bytes allows", async () => {
    const storage = await opened(pool);
    const queue = await queueOf(storage, "bytes");
    const incarnation = await storage.enroll(LEASE_MS);
    const small = chunkOf(queue, numbers(10));
    const large = chunkOf(
      queue,
      numbers(10).map((n) => String(n).repeat(20)),
    );
    await storage.append([small, large, small]);
    const request = claimOf(incarnation, queue, 5);
    const claims = request.claims.map((claim) => ({ ...claim, maxBytes: large.bytes / 2 }));
    const { claimed } = await storage.exchange({ ...request, claims });
    expect(claimed.map(({ count }) => count)).toEqual([10, 5, 5, 10]);
    expect(claimed.every(({ bytes }) => bytes <= large.bytes / 2)).toBe(true);
  });

  test("leaves in the inbox what belongs to a group that somebody else has", async () => {
    const storage = await opened(pool);
    const queue = await queueOf(storage, "others");
    const incarnation = await storage.enroll(LEASE_MS);
    const append = async (from: number): Promise<void> => {
      await storage.append(["a", "b"].map((group) => chunkOf(queue, numbers(10, from), group)));
    };
    await append(0);
    await storage.exchange(claimOf(incarnation, queue, 2));
    for (const from of [10, 20]) await append(from);
    const client = await pool.connect();
    await client.query("BEGIN");
    await client.query("SELECT FROM batchwork.groups WHERE queue = $1 AND name = 'a' FOR UPDATE", [
      queue,
    ]);
    const claim = async (): Promise<unknown[]> => {
      const { claimed } = await storage.exchange(claimOf(incarnation, queue, 4));
      return claimed.map((batch) => [batch.group, itemsOf(batch)[0]]);
    };
    expect(await claim()).toEqual([
      ["b", 10],
      ["b", 20],
    ]);
    const inbox = await pool.query(
      "SELECT DISTINCT grp, count(*)::int AS chunks FROM batchwork.inbox GROUP BY grp",
    );
    expect(inbox.rows).toEqual([{ grp: "a", chunks: 2 }]);
    await client.query("COMMIT");
    client.release();
    expect(await claim()).toEqual([
      ["a", 10],
      ["a", 20],
    ]);
  });
});
