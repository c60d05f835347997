import { symlinkSync } from "node:fs";
import { DatabaseSync } from "node:sqlite";

import { expect, test } from "vitest";

import { contents, DONE, Folder } from "./fixture.ts";

test("another handle on the same file adds items in its own transaction", async () => {
  const folder = await Folder.make();
  const desk = await folder.desk();
  const other = folder.handle();
  desk.storage.changed();
  for (const item of ["one", "two"]) {
    other.exec("BEGIN IMMEDIATE");
    desk.storage.appendInside(other, [desk.chunk([item])]);
    expect(await desk.waiting()).toBe(item === "one" ? 0 : 1);
    other.exec("COMMIT");
    expect(desk.storage.changed()).toBe(true);
  }
  expect(contents(await desk.claim())).toEqual(["one", "two"]);
});

test("the same file under another name is the same database", async () => {
  const folder = await Folder.make();
  const desk = await folder.desk();
  symlinkSync(folder.path, `${folder.path}.link`);
  const other = folder.handle(`${folder.path}.link`);
  other.exec("BEGIN IMMEDIATE");
  desk.storage.appendInside(other, [desk.chunk(["a"])]);
  other.exec("COMMIT");
  expect(await desk.waiting()).toBe(1);
});

test("storage time does not run back because of an append on another handle", async () => {
  const folder = await Folder.make();
  const desk = await folder.desk();
  const other = folder.handle();
  await folder.clock.advance(5000);
  other.exec("BEGIN IMMEDIATE");
  const [chunk] = desk.storage.appendInside(other, [desk.chunk(["a"])]);
  other.exec("COMMIT");
  expect(folder.number("SELECT at FROM batchwork_clock")).toBe(chunk?.dueAt);
});

test("what is no open transaction of this database is refused", async () => {
  const folder = await Folder.make();
  const desk = await folder.desk();
  const chunks = [desk.chunk(["a"])];
  const idle = folder.handle();
  const elsewhere = folder.handle(`${folder.path}.other`);
  elsewhere.exec("BEGIN IMMEDIATE");
  const inMemory = new DatabaseSync(":memory:");
  inMemory.exec("BEGIN IMMEDIATE");
  for (const tx of [idle, elsewhere, inMemory, {}, null, undefined, "tx", 7, () => 0]) {
    expect(() => desk.storage.appendInside(tx, chunks)).toThrow(
      expect.objectContaining({ code: "TX_MISMATCH", field: "tx" }),
    );
  }
  inMemory.close();
  expect(await desk.waiting()).toBe(0);
});

test("a transaction that began before another wrote is told to begin immediately", async () => {
  const folder = await Folder.make();
  const desk = await folder.desk();
  const other = folder.handle();
  other.exec("BEGIN");
  other.prepare("SELECT count(*) FROM batchwork_chunks").get();
  await desk.add("a");
  expect(() => desk.storage.appendInside(other, [desk.chunk(["b"])])).toThrow(
    expect.objectContaining({ code: "STORAGE_BUSY" }),
  );
  other.exec("ROLLBACK");
  expect(await desk.waiting()).toBe(1);
});

test("the facade of another storage on the same file adds to its transaction", async () => {
  const folder = await Folder.make();
  const [one, two] = [await folder.desk(), await folder.desk()];
  await one.add("a");
  const lease = await one.claimOne();
  await one.storage.transact({
    lease,
    run: (tx) => two.storage.appendInside(tx, [two.chunk(["b"])]),
    outcome: () => DONE,
  });
  expect(contents(await two.claim())).toEqual(["b"]);
});
