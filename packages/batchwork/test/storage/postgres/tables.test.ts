import pg from "pg";
import { beforeEach, expect, onTestFinished, test } from "vitest";

import type { OpenTable, TableQuery, TableStorage } from "../../../src/storage/tables.ts";
import { PostgresStorage } from "../../../src/storage/postgres/storage.ts";
import { ManualClock } from "../../../src/testing/manual-clock.ts";
import { describePostgres, testDatabase } from "../../postgres/database.ts";
import { outcomeOf } from "../../runtime/fixture.ts";

const { pool, url } = testDatabase();

async function setUp(sql: string, from = pool): Promise<TableStorage> {
  await pool.query(sql);
  const storage = new PostgresStorage({
    source: { pool: from },
    schema: "batchwork",
    durability: "relaxed",
    notifications: false,
  });
  await storage.open({ clock: new ManualClock() });
  return storage.tables;
}

function query(over: Partial<TableQuery> = {}): TableQuery {
  return { table: "rows", key: ["id"], columns: null, where: null, ...over };
}

/** All rows, in pages of `size`. */
async function walk(table: OpenTable, size: number): Promise<unknown[]> {
  const seen: unknown[] = [];
  let after: string | null = null;
  for (;;) {
    const { rows, cursor } = await table.rows({ after, to: null }, size);
    if (cursor === null) return seen;
    seen.push(...rows);
    after = cursor;
  }
}

/** `values` as rows of a table, one column `id` of this type. */
function filled(type: string, values: readonly string[]): string {
  const rows = values.map((value) => `(${value})`).join(", ");
  return `CREATE TABLE rows (id ${type} PRIMARY KEY); INSERT INTO rows VALUES ${rows}`;
}

describePostgres("tables of the user's on PostgreSQL", () => {
  beforeEach(async () => {
    await pool.query(`DROP TABLE IF EXISTS rows; DROP SCHEMA IF EXISTS other CASCADE;
      DROP TYPE IF EXISTS mood`);
  });

  test.each([
    ["integers", "integer", ["3", "-7", "0"], ["-7", "0", "3"]],
    [
      "large integers",
      "bigint",
      ["9007199254740993", "9007199254740995", "-5"],
      ["-5", "9007199254740993", "9007199254740995"],
    ],
    [
      "numerics",
      "numeric",
      ["1.50", "1e40", "-2"],
      ["-2", "1.50", "10000000000000000000000000000000000000000"],
    ],
    ["fractions", "float8", ["0.1", "-2.5", "'Infinity'"], ["-2.5", "0.1", "Infinity"]],
    ["texts", 'text COLLATE "C"', ["'b'", "'A'", "'a''b'", "''"], ["", "A", "a'b", "b"]],
    [
      "texts in the order of a language",
      'text COLLATE "en-x-icu"',
      ["'b'", "'A'", "'a'"],
      ["a", "A", "b"],
    ],
    ["padded texts", "char(3)", ["'b'", "'a'"], ["a", "b"]],
    [
      "uuids",
      "uuid",
      ["'ffffffff-ffff-ffff-ffff-ffffffffffff'", "'00000000-0000-0000-0000-000000000001'"],
      ["00000000-0000-0000-0000-000000000001", "ffffffff-ffff-ffff-ffff-ffffffffffff"],
    ],
    [
      "moments to the microsecond",
      "timestamptz",
      ["'2026-01-01 00:00:00.000002+00'", "'2026-01-01 00:00:00.000001+00'", "'-infinity'"],
      ["-infinity", "2026-01-01T00:00:00.000001+00:00", "2026-01-01T00:00:00.000002+00:00"],
    ],
    ["dates", "date", ["'2026-02-01'", "'2026-01-31'"], ["2026-01-31", "2026-02-01"]],
    [
      "bytes",
      "bytea",
      [String.raw`'\x01'`, String.raw`'\x00ff'`],
      [String.raw`\x00ff`, String.raw`\x01`],
    ],
  ] as const)("every row once, page by page, by a key of %s", async (_name, type, stored, keys) => {
    // A session that writes dates in a way of its own must not matter.
    const german = new pg.Pool({ connectionString: url, options: "-c DateStyle=German" });
    onTestFinished(() => german.end());
    const tables = await setUp(filled(type, stored), german);
    const table = await tables.open(query());
    const seen = await walk(table, 1);
    expect(await walk(table, 100)).toEqual(seen);
    const read = await table.keys({ after: null, to: null }, 100);
    expect(read.keys()).toEqual(keys.map((key) => expect.stringContaining(key) as unknown));
    expect(seen).toHaveLength(stored.length);
  });

  test("by a key of an enum, in the order in which it was declared", async () => {
    await pool.query("CREATE TYPE mood AS ENUM ('sad', 'fine')");
    const tables = await setUp(filled("mood", ["'fine'", "'sad'"]));
    expect(await walk(await tables.open(query()), 1)).toEqual([{ id: "sad" }, { id: "fine" }]);
  });

  test("by several columns, with the driver's own values, in another schema", async () => {
    const tables = await setUp(`CREATE SCHEMA other;
      CREATE TABLE other.rows (tenant text, at timestamptz, v int[], PRIMARY KEY (tenant, at));
      INSERT INTO other.rows VALUES ('b', '2026-01-01Z', '{1}'), ('a', '2026-01-02Z', '{2}'),
        ('a', '2026-01-01Z', '{3}')`);
    const over = { table: "other.rows", key: ["tenant", "at"] };
    const table = await tables.open(query(over));
    expect(await walk(table, 1)).toEqual([
      { tenant: "a", at: new Date("2026-01-01Z"), v: [3] },
      { tenant: "a", at: new Date("2026-01-02Z"), v: [2] },
      { tenant: "b", at: new Date("2026-01-01Z"), v: [1] },
    ]);
  });

  test("only the columns and rows asked for, and the key in any case", async () => {
    const tables = await setUp(
      `CREATE TABLE rows (id int PRIMARY KEY, tenant text, v int);
       INSERT INTO rows VALUES (1, 'a', 10), (2, 'b', 20), (3, 'a', 30)`,
    );
    const where = { sql: "tenant = $1 OR tenant = $2 -- both", values: ["a", "c"] };
    const table = await tables.open(query({ columns: ["v"], where }));
    expect(await walk(table, 1)).toEqual([
      { id: 1, v: 10 },
      { id: 3, v: 30 },
    ]);
    expect(await table.count()).toBe(2);
    expect(await table.cuts(2)).toHaveLength(1);
  });

  test("cuts divide a table into ranges that hold every row once", async () => {
    const tables = await setUp(
      "CREATE TABLE rows (id int PRIMARY KEY); INSERT INTO rows SELECT generate_series(1, 100)",
    );
    const table = await tables.open(query());
    const ends = [null, ...(await table.cuts(4)), null];
    expect(ends).toHaveLength(5);
    for (let n = 0; n < 4; n++) {
      const range = { after: ends[n] ?? null, to: ends[n + 1] ?? null };
      expect((await table.rows(range, 1000)).rows).toHaveLength(25);
    }
    await pool.query("DELETE FROM rows");
    expect(await table.cuts(4)).toEqual([]);
  });

  const TABLE = "CREATE TABLE rows (id int PRIMARY KEY, a text, b text NOT NULL, n text)";

  test.each([
    ["no such table", TABLE, { table: "row" }, "no such table"],
    ["no such column of the key", TABLE, { key: ["uid"] }, 'no column "uid"'],
    ["no such column", TABLE, { columns: ["c"] }, 'no column "c"'],
    ["no unique index", TABLE, { key: ["b"] }, "no unique index"],
    [
      "an index that is not unique",
      `${TABLE}; CREATE INDEX ON rows (b)`,
      { key: ["b"] },
      "no unique index",
    ],
    [
      "an index with a condition",
      `${TABLE}; CREATE UNIQUE INDEX ON rows (b) WHERE n > '0'`,
      { key: ["b"] },
      "no unique index",
    ],
    [
      "an index over more columns",
      `${TABLE}; CREATE UNIQUE INDEX ON rows (b, id)`,
      { key: ["b"] },
      "no unique index",
    ],
    [
      "columns in another order",
      `${TABLE}; CREATE UNIQUE INDEX ON rows (id, b)`,
      { key: ["b", "id"] },
      "no unique index",
    ],
    [
      "an index in another collation",
      `${TABLE}; CREATE UNIQUE INDEX ON rows (b COLLATE "C")`,
      { key: ["b"] },
      "collations",
    ],
    [
      "a key that may be NULL",
      `${TABLE}; CREATE UNIQUE INDEX ON rows (a)`,
      { key: ["a"] },
      "may be NULL",
    ],
  ] as const)("refused with the reason: %s", async (_name, sql, over, reason) => {
    const tables = await setUp(sql);
    const opening = tables.open(query(over));
    await expect(opening).rejects.toThrow(reason);
    expect(await outcomeOf(opening)).toBe("TABLE_INVALID");
  });

  test("a condition that is no SQL fails with what the server says", async () => {
    const tables = await setUp(TABLE);
    const table = await tables.open(query({ where: { sql: "nope(", values: [] } }));
    await expect(table.count()).rejects.toThrow("syntax error");
  });
});
