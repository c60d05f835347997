import { writeFileSync } from "node:fs";
import { DatabaseSync } from "node:sqlite";

import { expect, test } from "vitest";

import { sqlite, type SqliteOptions } from "../../../src/storage/sqlite/index.ts";
import { ManualClock } from "../../../src/testing/manual-clock.ts";
import { contents, Folder } from "./fixture.ts";

function pragma(handle: DatabaseSync, name: string): unknown {
  return Object.values(handle.prepare(`PRAGMA ${name}`).get() as Record<string, unknown>)[0];
}

test("options outside their range are refused by name, before anything is opened", () => {
  const wrong: [unknown, string][] = [
    [{}, "path"],
    [{ path: 7 }, "path"],
    [{ path: "a.db", database: new DatabaseSync(":memory:") }, "path"],
    [{ database: {} }, "database"],
    [{ path: "a.db", durability: "some" }, "durability"],
    [{ path: "a.db", busyTimeoutMs: -1 }, "busyTimeoutMs"],
    [{ path: "a.db", busyTimeoutMs: Number.NaN }, "busyTimeoutMs"],
  ];
  for (const [options, field] of wrong) {
    expect(() => sqlite(options as SqliteOptions)).toThrow(
      expect.objectContaining({ code: "OPTION_INVALID", field }),
    );
  }
});

test("a lent handle is set to full durability, whatever it was before", async () => {
  const folder = await Folder.make();
  const database = folder.handle();
  database.exec("PRAGMA journal_mode = DELETE; PRAGMA synchronous = OFF");
  await folder.desk({ database });
  expect(pragma(database, "journal_mode")).toBe("wal");
  expect(pragma(database, "synchronous")).toBe(2);
});

test("relaxed durability leaves a lent handle as strict as it is", async () => {
  const folder = await Folder.make();
  const database = folder.handle();
  database.exec("PRAGMA synchronous = EXTRA");
  await folder.desk({ database, durability: "relaxed" });
  expect(pragma(database, "synchronous")).toBe(3);
});

test("a database in memory is refused unless durability is relaxed", async () => {
  const folder = await Folder.make();
  const { clock } = folder;
  const strict = folder.storage({ path: ":memory:" });
  expect(strict.durable).toBe(false);
  await expect(strict.open({ clock })).rejects.toMatchObject({ code: "NOT_DURABLE" });
  const database = folder.handle(":memory:");
  await expect(folder.storage({ database }).open({ clock })).rejects.toMatchObject({
    code: "NOT_DURABLE",
  });
  const desk = await folder.desk({ path: ":memory:", durability: "relaxed" });
  await desk.add("a");
  expect(contents(await desk.claim())).toEqual(["a"]);
});

test("a handle that turns synchronous off again is found out", async () => {
  const folder = await Folder.make();
  const database = folder.handle();
  const stubborn = {
    exec: (sql: string) => database.exec(sql.replace("synchronous = FULL", "synchronous = NORMAL")),
    prepare: (sql: string) => database.prepare(sql),
    get isTransaction() {
      return database.isTransaction;
    },
  };
  const storage = folder.storage({ database: stubborn });
  await expect(storage.open(folder)).rejects.toMatchObject({
    code: "NOT_DURABLE",
    field: "synchronous",
  });
});

test("a database that a newer version wrote is refused and not touched", async () => {
  const folder = await Folder.make();
  await (await folder.desk()).storage.close();
  const handle = folder.handle();
  handle.exec("INSERT INTO batchwork_migrations (id, applied_at) VALUES (999, 0)");
  handle.exec("PRAGMA journal_mode = DELETE");
  const storage = folder.storage();
  await expect(storage.open(folder)).rejects.toMatchObject({ code: "SCHEMA_NEWER", value: 999 });
  expect(pragma(handle, "journal_mode")).toBe("delete");
  handle.exec("DELETE FROM batchwork_migrations WHERE id = 999");
  await storage.open(folder);
  expect(await storage.define([])).toEqual([]);
});

test("what is no database is a failure with its cause, and no handle is left open", async () => {
  const folder = await Folder.make();
  writeFileSync(folder.path, "not a database at all".repeat(100));
  const opening = folder.storage().open(folder);
  await expect(opening).rejects.toMatchObject({
    code: "STORAGE_FAILED",
    cause: { message: "file is not a database" },
  });
  const nowhere = folder.storage({ path: `${folder.path}/no/such/folder.db` });
  await expect(nowhere.open(folder)).rejects.toMatchObject({ code: "STORAGE_FAILED" });
});

test("several storages that open a new file at once make the schema once", async () => {
  const folder = await Folder.make();
  const storages = Array.from({ length: 4 }, () => folder.storage());
  const opened = Promise.all(storages.map(async (storage) => storage.open(folder)));
  for (let n = 0; n < 20; n++) await folder.clock.advance(15);
  await opened;
  const ids = await Promise.all(
    storages.map(async (storage) => storage.define([{ name: "same", notify: false }])),
  );
  expect(new Set(ids.map(([info]) => info?.id)).size).toBe(1);
  expect(folder.number("SELECT count(*) FROM batchwork_migrations")).toBe(1);
});

test("every table of the storage begins with batchwork_", async () => {
  const folder = await Folder.make();
  const desk = await folder.desk();
  await desk.add("a");
  const others = `SELECT count(*) FROM sqlite_schema WHERE type = 'table'
    AND name NOT LIKE 'batchwork\\_%' ESCAPE '\\' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'`;
  expect(folder.number(others)).toBe(0);
  expect(folder.number("SELECT count(*) FROM batchwork_chunks")).toBe(1);
});

test("opening and closing are legal twice, and a closed storage opens again", async () => {
  const folder = await Folder.make();
  const desk = await folder.desk();
  const { storage } = desk;
  await storage.open(folder);
  await desk.add("kept");
  await Promise.all([storage.close(), storage.close()]);
  await expect(desk.claim()).rejects.toMatchObject({ code: "STORAGE_FAILED" });
  expect(storage.changed()).toBe(false);
  await storage.open(folder);
  expect(contents(await desk.claim())).toEqual(["kept"]);
});

test("what was asked for before close is carried out", async () => {
  const folder = await Folder.make();
  const desk = await folder.desk();
  const added = desk.add("last");
  await desk.storage.close();
  await added;
  expect(folder.number("SELECT sum(count) FROM batchwork_chunks")).toBe(1);
});

test("a lent handle is never closed", async () => {
  const folder = await Folder.make();
  const database = folder.handle();
  const { storage } = await folder.desk({ database });
  await storage.close();
  expect(database.isOpen).toBe(true);
  expect(pragma(database, "user_version")).toBe(0);
});

test("a storage that is not open rejects and does not throw", async () => {
  const storage = sqlite({ path: "never-made.db" });
  await expect(storage.enroll(1)).rejects.toMatchObject({ code: "STORAGE_FAILED" });
  await storage.close();
  expect(storage.changed()).toBe(false);
  expect(new ManualClock().timerCount).toBe(0);
});
