import { DatabaseSync } from "node:sqlite";

import BetterSqlite from "better-sqlite3";
import { describe, expect, onTestFinished, test } from "vitest";

import { sqlite, type SqliteHandle } from "../../../src/storage/sqlite/index.ts";
import type { OpenTable, TableQuery, TableStorage } from "../../../src/storage/tables.ts";
import { ManualClock } from "../../../src/testing/manual-clock.ts";
import { outcomeOf } from "../../runtime/fixture.ts";

interface TestHandle extends SqliteHandle {
  close(): unknown;
}

async function setUp(sql: string, driver = "node"): Promise<TableStorage> {
  const database: TestHandle =
    driver === "node" ? new DatabaseSync(":memory:") : new BetterSqlite(":memory:");
  database.exec(sql);
  const storage = sqlite({ database, durability: "relaxed" });
  await storage.open({ clock: new ManualClock() });
  onTestFinished(async () => {
    await storage.close();
    database.close();
  });
  return storage.tables;
}

function query(over: Partial<TableQuery> = {}): TableQuery {
  return { table: "rows", key: ["id"], columns: null, where: null, ...over };
}

/** All rows, in pages of `size`. */
async function walk(table: OpenTable, size: number, to: string | null = null): Promise<unknown[]> {
  const seen: unknown[] = [];
  let after: string | null = null;
  for (;;) {
    const { rows, cursor } = await table.rows({ after, to }, size);
    if (cursor === null) return seen;
    seen.push(...rows);
    after = cursor;
  }
}

/** `values` as rows of a table, one column `id` of this type. */
function filled(type: string, values: readonly string[]): string {
  const rows = values.map((value) => `(${value})`).join(", ");
  return `CREATE TABLE rows (id ${type} NOT NULL UNIQUE); INSERT INTO rows VALUES ${rows}`;
}

describe("every row once, page by page, by a key of", () => {
  test.each([
    ["numbers", "INTEGER", ["3", "-7", "0", "12"], [-7, 0, 3, 12]],
    [
      "large numbers",
      "INTEGER",
      ["9007199254740993", "1", "9007199254740995"],
      [1, 9_007_199_254_740_993n, 9_007_199_254_740_995n],
    ],
    ["fractions", "REAL", ["0.1", "-2.5", "1e300"], [-2.5, 0.1, 1e300]],
    ["texts", "TEXT", ["'b'", "'a'", "'Ä'", "'a''b'", "''"], ["", "a", "a'b", "b", "Ä"]],
    ["texts without case", "TEXT COLLATE NOCASE", ["'b'", "'A'", "'C'"], ["A", "b", "C"]],
    ["bytes", "BLOB", ["x'00ff'", "x'00'"], [new Uint8Array([0]), new Uint8Array([0, 255])]],
    ["mixed values", "ANY", ["'text'", "5", "x'01'"], [5, "text", new Uint8Array([1])]],
  ] as const)("%s", async (_name, type, stored, expected) => {
    const tables = await setUp(filled(type, stored));
    const table = await tables.open(query());
    const seen = (await walk(table, 1)) as { readonly id: unknown }[];
    expect(seen.map(({ id }) => id)).toEqual(expected);
    expect(await walk(table, 100)).toEqual(seen);
  });

  test("several columns, in the order of the index", async () => {
    const tables = await setUp(
      `CREATE TABLE rows (tenant TEXT NOT NULL, n INTEGER NOT NULL, PRIMARY KEY (tenant, n));
       INSERT INTO rows VALUES ('b', 1), ('a', 2), ('a', 10), ('b', 0)`,
    );
    const table = await tables.open(query({ key: ["tenant", "n"] }));
    expect(await walk(table, 1)).toEqual([
      { tenant: "a", n: 2 },
      { tenant: "a", n: 10 },
      { tenant: "b", n: 0 },
      { tenant: "b", n: 1 },
    ]);
  });

  test("the row's own number, and a table without one", async () => {
    const numbered = await setUp(
      `CREATE TABLE rows (id INTEGER PRIMARY KEY, v TEXT); INSERT INTO rows VALUES (2, 'b'), (1, 'a')`,
    );
    expect(await walk(await numbered.open(query()), 1)).toEqual([
      { id: 1, v: "a" },
      { id: 2, v: "b" },
    ]);
    const without = await setUp(
      `CREATE TABLE rows (id TEXT PRIMARY KEY) WITHOUT ROWID; INSERT INTO rows VALUES ('b'), ('a')`,
    );
    expect(await walk(await without.open(query()), 1)).toEqual([{ id: "a" }, { id: "b" }]);
  });
});

test("better-sqlite3 rounds large numbers, and keys are not taken rounded", async () => {
  const tables = await setUp(filled("INTEGER", ["9007199254740993", "9007199254740995"]), "better");
  const table = await tables.open(query());
  expect(await walk(table, 1)).toEqual([
    { id: 9_007_199_254_740_993n },
    { id: 9_007_199_254_740_995n },
  ]);
});

test("only the columns and rows asked for, and the key in any case", async () => {
  const tables = await setUp(
    `CREATE TABLE rows (id INTEGER PRIMARY KEY, tenant TEXT, v INTEGER);
     INSERT INTO rows VALUES (1, 'a', 10), (2, 'b', 20), (3, 'a', 30)`,
  );
  const where = { sql: "tenant = ? OR tenant = ? -- both", values: ["a", "c"] };
  const table = await tables.open(query({ columns: ["v"], where }));
  expect(await walk(table, 1)).toEqual([
    { id: 1, v: 10 },
    { id: 3, v: 30 },
  ]);
  expect(await table.count()).toBe(2);
  const { keys, cursor } = await table.keys({ after: null, to: null }, 10);
  expect(keys()).toEqual(["n1", "n3"]);
  expect((await table.rows({ after: cursor, to: null }, 10)).rows).toEqual([]);
});

test("cuts divide a table into ranges that hold every row once", async () => {
  const values = Array.from({ length: 100 }, (_, n) => String(n * n));
  const tables = await setUp(filled("INTEGER", values));
  const table = await tables.open(query());
  const cuts = await table.cuts(4);
  expect(cuts).toHaveLength(3);
  const ends = [null, ...cuts, null];
  const sizes: number[] = [];
  for (let n = 0; n + 1 < ends.length; n++) {
    const range = { after: ends[n] ?? null, to: ends[n + 1] ?? null };
    sizes.push((await table.rows(range, 1000)).rows.length);
  }
  expect(sizes).toEqual([25, 25, 25, 25]);
  expect(await table.cuts(1)).toEqual([]);
  const none = await setUp("CREATE TABLE rows (id INTEGER PRIMARY KEY)");
  expect(await (await none.open(query())).cuts(4)).toEqual([]);
});

describe("refused with the reason:", () => {
  const TABLE = "CREATE TABLE rows (id INTEGER PRIMARY KEY, a TEXT, b TEXT NOT NULL, n TEXT)";

  test.each([
    ["no such table", TABLE, { table: "row" }, "no such table"],
    ["no such column of the key", TABLE, { key: ["uid"] }, 'no column "uid"'],
    ["no such column", TABLE, { columns: ["c"] }, 'no column "c"'],
    ["no unique index", TABLE, { key: ["a"] }, "no unique index"],
    [
      "an index that is not unique",
      `${TABLE}; CREATE INDEX i ON rows (a)`,
      { key: ["a"] },
      "no unique index",
    ],
    [
      "an index with a condition",
      `${TABLE}; CREATE UNIQUE INDEX i ON rows (a) WHERE n > 0`,
      { key: ["a"] },
      "no unique index",
    ],
    [
      "columns in another order",
      `${TABLE}; CREATE UNIQUE INDEX i ON rows (a, b)`,
      { key: ["b", "a"] },
      "no unique index",
    ],
    [
      "an index in another collation",
      `${TABLE}; CREATE UNIQUE INDEX i ON rows (b COLLATE NOCASE)`,
      { key: ["b"] },
      "collations",
    ],
    [
      "a NULL in the key",
      `${TABLE}; CREATE UNIQUE INDEX i ON rows (a); INSERT INTO rows
      VALUES (1, NULL, 'x', 'y')`,
      { key: ["a"] },
      "is NULL in some row",
    ],
    [
      "a later column that may be NULL",
      `${TABLE}; CREATE UNIQUE INDEX i ON rows (b, a)`,
      { key: ["b", "a"] },
      "declare it NOT NULL",
    ],
    ["a condition that is no SQL", TABLE, { where: { sql: "nope(", values: [] } }, "SQLite says"],
  ] as const)("refused: %s", async (_name, sql, over, reason) => {
    const tables = await setUp(sql);
    const opening = tables.open(query(over));
    await expect(opening).rejects.toThrow(reason);
    expect(await outcomeOf(opening)).toBe("TABLE_INVALID");
  });
});
