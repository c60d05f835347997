/** Many producers and consumers on one database. */
import pg from "pg";
import { expect, onTestFinished, test } from "vitest";

import type { Settlement, Storage } from "../../../src/storage/storage.ts";
import { describePostgres, testDatabase } from "../../postgres/database.ts";
import { chunkOf, claimOf, itemsOf, LEASE_MS, opened, queueOf } from "./fixture.ts";

const GROUPS = ["a", "b", "c", "d", "e"];
const PRODUCERS = 8;
const CHUNKS = 30;
const CONCURRENCY = 2;

describePostgres("several processes", () => {
  const { url } = testDatabase();

  test("hand each item over once, within the limit of its group, and leave nothing", async () => {
    const pools = [1, 2].map(() => new pg.Pool({ connectionString: url, max: 6 }));
    onTestFinished(async () => {
      for (const pool of pools) await pool.end();
    });
    const storages: Storage[] = [];
    for (const pool of pools) storages.push(await opened(pool));
    const queue = await queueOf(storages[0] as Storage, "work");
    const expected: string[] = [];
    const found: string[] = [];
    const active = new Map<string, number>();
    let most = 0;

    async function produce(n: number): Promise<void> {
      const storage = storages[n % storages.length] as Storage;
      for (let round = 0; round < CHUNKS; round++) {
        const size = 1 + ((n * 7 + round * 5) % 13);
        const items = Array.from({ length: size }, (_, index) => `${n}:${round}:${index}`);
        await storage.append([chunkOf(queue, items, GROUPS[(n + round) % GROUPS.length])]);
        expected.push(...items);
      }
    }

    async function consume(n: number, producing: () => boolean): Promise<void> {
      const storage = storages[n % storages.length] as Storage;
      const incarnation = await storage.enroll(LEASE_MS);
      let settlements: Settlement[] = [];
      for (;;) {
        const [claim] = claimOf(incarnation, queue, 2).claims;
        const claims = [{ ...claim, groupConcurrency: CONCURRENCY }] as never;
        for (const { batch } of settlements) leave(batch);
        const request = { incarnation, settlements, claims, alone: false };
        const { claimed, settled } = await storage.exchange(request);
        expect(settled).toEqual(settlements.map(() => "settled"));
        settlements = claimed.map(({ batch, token }) => {
          return { batch, token, outcome: { kind: "done" } };
        });
        for (const batch of claimed) {
          found.push(...itemsOf(batch).map(String));
          enter(batch.batch, batch.group);
        }
        const { waiting, leased } = await storage.counts(queue, null);
        if (!producing() && waiting === 0 && leased === 0) return;
      }
    }

    const groupOf = new Map<number, string>();
    function enter(batch: number, group: string): void {
      groupOf.set(batch, group);
      active.set(group, (active.get(group) ?? 0) + 1);
      most = Math.max(most, active.get(group) ?? 0);
    }
    // Before the settling is sent: what was sealed for its place must not be counted beside it.
    function leave(batch: number): void {
      const group = groupOf.get(batch) as string;
      active.set(group, (active.get(group) ?? 0) - 1);
    }

    let producing = PRODUCERS;
    await Promise.all([
      ...Array.from({ length: PRODUCERS }, async (_, n) => {
        await produce(n);
        producing--;
      }),
      ...Array.from({ length: 4 }, async (_, n) => consume(n, () => producing > 0)),
    ]);
    expect(found.toSorted()).toEqual(expected.toSorted());
    expect(most).toBeGreaterThan(0);
    expect(most).toBeLessThanOrEqual(CONCURRENCY);
    for (const table of ["payloads", "inbox", "waiting", "members"]) {
      const { rows } = await (pools[0] as pg.Pool).query(
        `SELECT count(*)::int AS n FROM batchwork.${table}`,
      );
      expect(rows, table).toEqual([{ n: 0 }]);
    }
  });
});
