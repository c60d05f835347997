/** Statements that a connection is told once, and what becomes of them when it forgets them. */
import { expect, onTestFinished, test } from "vitest";
import pg from "pg";

import { systemClock } from "../../../src/runtime/clock.ts";
import { postgres, type PostgresStorage } from "../../../src/storage/postgres/index.ts";
import { routeOf } from "../../../src/storage/postgres/pooler.ts";
import { describePostgres, testDatabase } from "../../postgres/database.ts";
import { chunkOf, claimOf, itemsOf, LEASE_MS, queueOf } from "./fixture.ts";

const PREPARED = String.raw`SELECT count(*)::int AS n FROM pg_prepared_statements
  WHERE name LIKE 'batchwork\_%'`;

describePostgres("prepared statements", () => {
  const { url } = testDatabase();

  async function onOneConnection(): Promise<{ pool: pg.Pool; storage: PostgresStorage }> {
    const pool = new pg.Pool({ connectionString: url, max: 1 });
    onTestFinished(async () => pool.end());
    const storage = postgres({ pool, notifications: false });
    await storage.open({ clock: systemClock });
    return { pool, storage };
  }

  async function prepared(pool: pg.Pool): Promise<unknown> {
    return (await pool.query<{ readonly n: number }>(PREPARED)).rows[0]?.n;
  }

  test("a statement is prepared once, however often it runs", async () => {
    const { pool, storage } = await onOneConnection();
    const queue = await queueOf(storage, "once");
    await storage.append([chunkOf(queue, [1])]);
    const before = await prepared(pool);
    await storage.append([chunkOf(queue, [2])]);
    await storage.append([chunkOf(queue, [3])]);
    expect(before).toBeGreaterThan(0);
    expect(await prepared(pool)).toBe(before);
  });

  test("when somebody discards them, the work goes on and nothing is prepared again", async () => {
    const { pool, storage } = await onOneConnection();
    const queue = await queueOf(storage, "discarded");
    await storage.append([chunkOf(queue, [1])]);
    await pool.query("DISCARD ALL");
    await storage.append([chunkOf(queue, [2])]);
    const incarnation = await storage.enroll(LEASE_MS);
    const { claimed } = await storage.exchange(claimOf(incarnation, queue));
    expect(claimed.flatMap((batch) => itemsOf(batch))).toEqual([1, 2]);
    expect(await prepared(pool)).toBe(0);
  });

  test("a connection of its own is told from one that a pooler may change", async () => {
    const { pool } = await onOneConnection();
    const client = await pool.connect();
    try {
      expect(await routeOf(client, 1000)).toBe("direct");
      const query = client.query.bind(client) as never;
      expect(await routeOf({ query, release: () => undefined }, 1000)).toBe("unknown");
      const other = { query, release: () => undefined, processID: -1 };
      expect(await routeOf(other, 1000)).toBe("pooled");
    } finally {
      client.release();
    }
  });
});
