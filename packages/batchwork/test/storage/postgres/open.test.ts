/** Opening: what is asked of the options, the server and the schema. */
import { expect, onTestFinished, test } from "vitest";
import pg from "pg";

import { systemClock } from "../../../src/runtime/clock.ts";
import { postgres, type PostgresOptions } from "../../../src/storage/postgres/index.ts";
import { describePostgres, testDatabase } from "../../postgres/database.ts";
import { chunkOf, claimOf, itemsOf, LEASE_MS, opened, queueOf } from "./fixture.ts";

test("options that make no sense are named", () => {
  const pool = { query: () => undefined, connect: () => undefined };
  const wrong: [unknown, string][] = [
    [{}, "connectionString"],
    [{ pool, connectionString: "postgres://x" }, "connectionString"],
    [{ connectionString: 1 }, "connectionString"],
    [{ pool: {} }, "pool"],
    [{ pool, schema: 'a"b' }, "schema"],
    [{ pool, schema: "" }, "schema"],
    [{ pool, durability: "none" }, "durability"],
    [{ pool, notifications: "off" }, "notifications"],
  ];
  for (const [options, field] of wrong) {
    expect(() => postgres(options as PostgresOptions)).toThrow(
      expect.objectContaining({ code: "OPTION_INVALID", field }),
    );
  }
});

describePostgres("opening a database", () => {
  const { pool, url } = testDatabase();

  test("a connection string and a lent pool reach the same data", async () => {
    const lent = await opened(pool);
    const own = postgres({ connectionString: url });
    await own.open({ clock: systemClock });
    await own.open({ clock: systemClock });
    const queue = await queueOf(own, "shared");
    expect(await queueOf(lent, "shared")).toBe(queue);
    await own.close();
    await own.close();
    await expect(own.counts(queue, null)).rejects.toMatchObject({ code: "STORAGE_FAILED" });
    await lent.close();
    expect((await pool.query("SELECT 1 AS one")).rows).toEqual([{ one: 1 }]);
  });

  test("several processes that open an empty database at once all succeed", async () => {
    const storages = Array.from({ length: 4 }, () => postgres({ pool, schema: "fresh" }));
    await Promise.all(storages.map(async (storage) => storage.open({ clock: systemClock })));
    const { rows } = await pool.query("SELECT id FROM fresh.migrations ORDER BY id");
    expect(rows).toEqual([{ id: 1 }]);
    for (const storage of storages) await storage.close();
  });

  test("what stands in the way of opening is said, with what to do about it", async () => {
    const wrong: [string, RegExp][] = [
      ["postgres://postgres@127.0.0.1:1/postgres", /ECONNREFUSED.*start the server/],
      ["postgres://postgres@localhost:1/postgres", /ECONNREFUSED.*start the server/],
      ["postgres://postgres@nowhere.invalid/postgres", /no such host/],
      [url.replace(/[^/]*$/, "missing"), /"missing" does not exist.*create the database first/],
    ];
    for (const [connectionString, message] of wrong) {
      const opening = postgres({ connectionString }).open({ clock: systemClock });
      await expect(opening).rejects.toMatchObject({
        code: "STORAGE_FAILED",
        message: expect.stringMatching(message) as unknown,
      });
    }
  });

  test("a user who may not create the schema is told so, and a storage opens when it may", async () => {
    await pool.query("DROP ROLE IF EXISTS batchwork_poor");
    await pool.query("CREATE ROLE batchwork_poor LOGIN");
    onTestFinished(async () => {
      await pool.query("DROP SCHEMA IF EXISTS poor CASCADE; DROP ROLE batchwork_poor");
    });
    const poor = new URL(url);
    poor.username = "batchwork_poor";
    const storage = postgres({ connectionString: poor.href, schema: "poor" });
    await expect(storage.open({ clock: systemClock })).rejects.toMatchObject({
      code: "STORAGE_FAILED",
      message: expect.stringContaining("create the schema for it") as unknown,
    });
    await pool.query("CREATE SCHEMA poor AUTHORIZATION batchwork_poor");
    await storage.open({ clock: systemClock });
    expect(await queueOf(storage, "poor")).toBeGreaterThan(0);
    await storage.close();
  });

  test("a schema of a newer version is refused, and not touched", async () => {
    await pool.query("CREATE SCHEMA newer");
    await pool.query("CREATE TABLE newer.migrations (id int PRIMARY KEY)");
    await pool.query("INSERT INTO newer.migrations VALUES (99)");
    const storage = postgres({ pool, schema: "newer" });
    await expect(storage.open({ clock: systemClock })).rejects.toMatchObject({
      code: "SCHEMA_NEWER",
      value: 99,
    });
  });

  test("a server that may lose what was committed is refused, unless that was asked for", async () => {
    const options = "-c synchronous_commit=off";
    const loose = new pg.Pool({ connectionString: url, options });
    onTestFinished(async () => loose.end());
    await expect(postgres({ pool: loose }).open({ clock: systemClock })).rejects.toMatchObject({
      code: "NOT_DURABLE",
      field: "synchronous_commit",
    });
    const storage = postgres({ pool: loose, durability: "relaxed" });
    await storage.open({ clock: systemClock });
    await storage.close();
  });

  test("a stricter default isolation level of the user's changes nothing", async () => {
    const options = "-c default_transaction_isolation=serializable";
    const strict = new pg.Pool({ connectionString: url, options });
    onTestFinished(async () => strict.end());
    const storage = await opened(strict);
    const queue = await queueOf(storage, "strict");
    await storage.append([chunkOf(queue, ["a"])]);
    const { claimed } = await storage.exchange(claimOf(await storage.enroll(LEASE_MS), queue));
    expect(claimed.map(itemsOf)).toEqual([["a"]]);
  });

  test("storage time is the server's", async () => {
    const storage = await opened(pool);
    const queue = await queueOf(storage, "clock");
    const now = async (): Promise<number> => {
      const sql = "SELECT extract(epoch FROM clock_timestamp()) * 1000 AS ms";
      return Number((await pool.query<{ readonly ms: string }>(sql)).rows[0]?.ms);
    };
    const before = await now();
    const [chunk] = await storage.append([{ ...chunkOf(queue, ["a"]), dueInMs: 250 }]);
    const after = await now();
    expect(chunk?.dueAt).toBeGreaterThanOrEqual(Math.floor(before) + 250);
    expect(chunk?.dueAt).toBeLessThanOrEqual(after + 250);
    const incarnation = await storage.enroll(1);
    await pool.query("SELECT pg_sleep(0.01)");
    expect((await storage.reap(3)).incarnations).toContain(incarnation);
  });

  test("a claim reads no more rows of a backlog than it needs, without statistics", async () => {
    const storage = await opened(pool);
    const queue = await queueOf(storage, "plans");
    const incarnation = await storage.enroll(LEASE_MS);
    const groups = Array.from({ length: 2000 }, (_, n) => `g${n}`);
    for (let round = 0; round < 5; round++) {
      await storage.append(groups.map((group) => chunkOf(queue, [round], group)));
    }
    await storage.makeDue(queue, null);
    const client = await pool.connect();
    onTestFinished(() => client.release());
    const [claim] = claimOf(incarnation, queue, 5).claims;
    const claims = JSON.stringify([{ ...claim, maxBytes: 1e9, groupConcurrency: 1 }]);
    const sql = "SELECT * FROM batchwork.exchange($1, '{}', '{}', '{}', $2, false, NULL)";
    // The first claim with these caps may look at every group; the second is the usual one.
    await client.query(sql, [incarnation, claims]);
    await client.query("BEGIN ISOLATION LEVEL READ COMMITTED");
    const before = await rowsRead(client);
    const { rowCount } = await client.query(sql, [incarnation, claims]);
    const after = await rowsRead(client);
    await client.query("ROLLBACK");
    expect(rowCount).toBeGreaterThan(5);
    expect(after.size).toBeGreaterThan(5);
    for (const [name, n] of after) expect(n - (before.get(name) ?? 0), name).toBeLessThan(500);
  });

  test("an append reads nothing of what waits, and changes no row", async () => {
    const storage = await opened(pool);
    const queue = await queueOf(storage, "intake");
    const groups = Array.from({ length: 500 }, (_, n) => `g${n}`);
    await storage.append(groups.map((group) => chunkOf(queue, [1], group)));
    // The server counts by connection, and this one has done nothing yet.
    const fresh = new pg.Pool({ connectionString: url, max: 1 });
    const client = await fresh.connect();
    onTestFinished(async () => {
      client.release();
      await fresh.end();
    });
    await client.query("BEGIN");
    expect(await storage.appendWithin(client, [chunkOf(queue, [2], "g1")])).toHaveLength(1);
    const read = await rowsRead(client);
    const { rows: changed } = await client.query<{ readonly name: string }>(
      `SELECT relname AS name FROM pg_stat_xact_user_tables
      WHERE schemaname = 'batchwork' AND n_tup_upd + n_tup_del > 0`,
    );
    await client.query("ROLLBACK");
    expect(changed).toEqual([]);
    for (const [name, n] of read) expect(n, name).toBeLessThan(5);
  });
});

/** Rows that this connection has read of each table. */
async function rowsRead(client: pg.PoolClient): Promise<Map<string, number>> {
  const { rows } = await client.query<{ readonly name: string; readonly n: string }>(
    `SELECT relname AS name, coalesce(seq_tup_read, 0) + coalesce(idx_tup_fetch, 0) AS n
    FROM pg_stat_xact_user_tables WHERE schemaname = 'batchwork'`,
  );
  return new Map(rows.map(({ name, n }) => [name, Number(n)]));
}
