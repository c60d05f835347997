import Database from "better-sqlite3";
import { expect, test } from "vitest";

import { prepare } from "../../../src/storage/sqlite/handle.ts";
import type { SqliteHandle } from "../../../src/storage/sqlite/index.ts";
import { contents, Folder } from "./fixture.ts";

interface Lent {
  readonly folder: Folder;
  readonly database: SqliteHandle;
  /** One more handle on the file. */
  readonly another: () => SqliteHandle;
}

/** The same handle from both drivers. */
async function lend(driver: string): Promise<Lent> {
  const folder = await Folder.make();
  // One kind alone, or they would not see each other's locks.
  const another = (): SqliteHandle =>
    driver === "node:sqlite" ? folder.handle() : new Database(folder.path);
  return { folder, database: another(), another };
}

function busyTimeout(database: SqliteHandle): unknown {
  return Object.values(prepare(database, "PRAGMA busy_timeout").get() as object)[0];
}

test.each(["node:sqlite", "better-sqlite3"])(
  "%s: the engine waits while the user's transaction is open on the handle",
  async (driver) => {
    const { folder, database } = await lend(driver);
    const desk = await folder.desk({ database });
    database.exec("CREATE TABLE notes (text TEXT)");
    database.exec("BEGIN");
    database.exec("INSERT INTO notes VALUES ('theirs')");
    let seen = 0;
    const adding = desk.add("a").then(() => seen++);
    const counting = desk.waiting().then(() => seen++);
    await folder.clock.advance(500);
    expect(seen).toBe(0);
    database.exec("ROLLBACK");
    await folder.clock.advance(15);
    await Promise.all([adding, counting]);
    expect(folder.number("SELECT count(*) FROM notes")).toBe(0);
    expect(contents(await desk.claim())).toEqual(["a"]);
  },
);

test.each(["node:sqlite", "better-sqlite3"])(
  "%s: the user's busy timeout is put back, and never blocks the event loop",
  async (driver) => {
    const { folder, database, another } = await lend(driver);
    database.exec("PRAGMA busy_timeout = 60000");
    const desk = await folder.desk({ database });
    const other = another();
    other.exec("BEGIN IMMEDIATE");
    let added = 0;
    const adding = desk.add("a").then(() => added++);
    await folder.clock.advance(100);
    expect(added).toBe(0);
    expect(busyTimeout(database)).toBe(60_000);
    other.exec("COMMIT");
    await folder.clock.advance(15);
    await adding;
    expect(busyTimeout(database)).toBe(60_000);
  },
);

test.each(["node:sqlite", "better-sqlite3"])(
  "%s: items added inside the user's transaction commit with it",
  async (driver) => {
    const { folder, database } = await lend(driver);
    const desk = await folder.desk({ database });
    desk.storage.changed();
    database.exec("CREATE TABLE notes (text TEXT)");
    database.exec("BEGIN IMMEDIATE");
    database.exec("INSERT INTO notes VALUES ('theirs')");
    const [chunk] = desk.storage.appendInside(database, [desk.chunk(["with it"])]);
    expect(chunk?.dueAt).toBe(folder.clock.wallMs());
    expect(folder.number("SELECT count(*) FROM batchwork_chunks")).toBe(0);
    database.exec("COMMIT");
    expect(folder.number("SELECT count(*) FROM notes")).toBe(1);
    expect(contents(await desk.claim())).toEqual(["with it"]);
  },
);

test.each(["node:sqlite", "better-sqlite3"])(
  "%s: items added inside the user's transaction roll back with it",
  async (driver) => {
    const { folder, database } = await lend(driver);
    const desk = await folder.desk({ database });
    database.exec("BEGIN IMMEDIATE");
    desk.storage.appendInside(database, [desk.chunk(["gone"])]);
    database.exec("ROLLBACK");
    await desk.add("kept");
    expect(contents(await desk.claim())).toEqual(["kept"]);
  },
);

test("changed tells of items added inside once the user's transaction has ended", async () => {
  const { folder, database } = await lend("node:sqlite");
  const desk = await folder.desk({ database });
  desk.storage.changed();
  database.exec("BEGIN IMMEDIATE");
  desk.storage.appendInside(database, [desk.chunk(["a"])]);
  expect(desk.storage.changed()).toBe(false);
  database.exec("COMMIT");
  expect(desk.storage.changed()).toBe(true);
  expect(desk.storage.changed()).toBe(false);
});

test("a handle that reads bigints and arrays by default serves as well", async () => {
  const folder = await Folder.make();
  const database = new Database(folder.path);
  database.defaultSafeIntegers(true);
  const desk = await folder.desk({ database });
  await desk.add("a", "b");
  const batch = await desk.claimOne();
  expect(contents([batch])).toEqual(["a", "b"]);
  expect(await desk.settle(batch)).toBe("settled");
  expect(database.prepare("SELECT 1 AS one").get()).toEqual({ one: 1n });
});

test("a handle of another library is not promoted: what it writes meanwhile would be lost", async () => {
  const folder = await Folder.make();
  const database = new Database(folder.path);
  const desk = await folder.desk({ database });
  await desk.add("a");
  await expect(desk.storage.promotionSource(folder.clock)).rejects.toMatchObject({
    code: "OPTION_INVALID",
    field: "from",
  });
  expect(contents(await desk.claim())).toEqual(["a"]);
});
