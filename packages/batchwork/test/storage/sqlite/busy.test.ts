import { expect, test } from "vitest";

import { contents, Folder } from "./fixture.ts";

test("a write waits while another connection has the lock, and the event loop goes on", async () => {
  const folder = await Folder.make();
  const desk = await folder.desk();
  const other = folder.handle();
  other.exec("BEGIN IMMEDIATE");
  let added = false;
  const adding = desk.add("a").then(() => (added = true));
  await folder.clock.advance(500);
  expect(added).toBe(false);
  other.exec("COMMIT");
  await folder.clock.advance(15);
  await adding;
  expect(await desk.waiting()).toBe(1);
  expect(folder.clock.timerCount).toBe(0);
});

test("waiting ends after busyTimeoutMs, and nothing was written", async () => {
  const folder = await Folder.make();
  const desk = await folder.desk({ path: folder.path, busyTimeoutMs: 200 });
  const other = folder.handle();
  other.exec("BEGIN IMMEDIATE");
  const adding = desk.add("a");
  await Promise.all([
    expect(adding).rejects.toMatchObject({ code: "STORAGE_BUSY", value: 200 }),
    folder.clock.advance(220),
  ]);
  other.exec("COMMIT");
  expect(await desk.waiting()).toBe(0);
  await desk.add("b");
  expect(contents(await desk.claim())).toEqual(["b"]);
});

test("the attempts are out of step with those of other processes", async () => {
  const folder = await Folder.make();
  const desk = await folder.desk();
  const other = folder.handle();
  other.exec("BEGIN IMMEDIATE");
  const adding = desk.add("a");
  const waits = new Set<number>();
  const { clock } = folder;
  const after = clock.after.bind(clock);
  clock.after = (ms, fn) => {
    waits.add(ms);
    return after(ms, fn);
  };
  await clock.advance(200);
  expect(waits.size).toBeGreaterThan(5);
  for (const ms of waits) expect(ms >= 1 && ms <= 15, `${ms} ms`).toBe(true);
  other.exec("COMMIT");
  await clock.advance(15);
  await adding;
});

test("operations keep their order while they wait", async () => {
  const folder = await Folder.make();
  const desk = await folder.desk();
  const other = folder.handle();
  other.exec("BEGIN IMMEDIATE");
  const adding = Promise.all([1, 2, 3, 4].map(async (n) => desk.add(n)));
  const claiming = desk.claim();
  await folder.clock.advance(50);
  other.exec("ROLLBACK");
  await folder.clock.advance(15);
  await adding;
  expect(contents(await claiming)).toEqual([1, 2, 3, 4]);
});

test("an operation that fails does not hold up those behind it", async () => {
  const folder = await Folder.make();
  const desk = await folder.desk();
  const { storage } = desk;
  const failing = storage.setPaused([999], true);
  const adding = desk.add("a");
  await expect(failing).rejects.toMatchObject({ code: "STORAGE_FAILED", value: 999 });
  await adding;
  expect(await desk.waiting()).toBe(1);
});

test("reading goes on while another connection writes", async () => {
  const folder = await Folder.make();
  const desk = await folder.desk();
  await desk.add("a");
  const other = folder.handle();
  other.exec("BEGIN IMMEDIATE");
  expect(await desk.waiting()).toBe(1);
  other.exec("COMMIT");
});

test("a chunk of a queue that does not exist is refused", async () => {
  const folder = await Folder.make();
  const desk = await folder.desk();
  const lost = { ...desk.chunk(["a"]), queue: 77 };
  await expect(desk.storage.append([desk.chunk(["b"]), lost])).rejects.toMatchObject({
    code: "STORAGE_FAILED",
    field: "queue",
  });
  expect(folder.number("SELECT count(*) FROM batchwork_chunks")).toBe(0);
});

test("a full disk rejects the call, keeps what was stored, and heals", async () => {
  const folder = await Folder.make();
  const database = folder.handle();
  const desk = await folder.desk({ database });
  await desk.add("kept");
  const pages = folder.number("SELECT page_count FROM pragma_page_count()");
  database.exec(`PRAGMA max_page_count = ${pages}`);
  const large = "x".repeat(100_000);
  await expect(desk.add(large)).rejects.toMatchObject({
    code: "STORAGE_FAILED",
    cause: { message: "database or disk is full" },
  });
  expect(database.isTransaction).toBe(false);
  expect(await desk.waiting()).toBe(1);
  database.exec("PRAGMA max_page_count = 1000000");
  await desk.add(large);
  expect(contents(await desk.claim())).toEqual(["kept", large]);
});
