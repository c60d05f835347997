import { statSync } from "node:fs";

import { expect, test } from "vitest";

import { Folder, type Desk } from "./fixture.ts";

/** Grows with every commit that has something to write. */
function writtenBytes(folder: Folder): number {
  return statSync(`${folder.path}-wal`).size;
}

async function lookAround(desk: Desk): Promise<void> {
  const { storage, queue, incarnation } = desk;
  await desk.claim();
  await desk.claim({ limit: 0 });
  await storage.reap(3);
  await storage.define([{ name: "orders", notify: false }]);
  await storage.setPaused([queue], false);
  await storage.append([]);
  await storage.release([]);
  await storage.reconcile(incarnation, []);
  await storage.absolve(incarnation);
  await storage.makeDue(queue, null);
  await storage.takeUnnotified([queue], 10, 1000);
  await storage.acknowledgeDead([]);
  await storage.redrive(queue, "all");
  await storage.discard(queue, [1, 2]);
  await storage.counts(queue, null);
  await storage.running(queue);
  await storage.outstanding({ queue, group: null, mark: 10, until: "finished" });
}

test("looking around where there is nothing to do writes nothing", async () => {
  const folder = await Folder.make();
  const desk = await folder.desk();
  await desk.claim();
  await folder.clock.advance(1000);
  const before = writtenBytes(folder);
  await lookAround(desk);
  await folder.clock.advance(1000);
  await lookAround(desk);
  expect(writtenBytes(folder)).toBe(before);
  await desk.add("a");
  expect(writtenBytes(folder)).toBeGreaterThan(before);
});

test("looking again at items that are not due writes nothing", async () => {
  const folder = await Folder.make();
  const desk = await folder.desk();
  await desk.storage.append([{ ...desk.chunk(["a"]), dueInMs: 60_000 }]);
  await desk.claim();
  const before = writtenBytes(folder);
  for (let n = 0; n < 5; n++) {
    await folder.clock.advance(1000);
    expect(await desk.claim()).toEqual([]);
  }
  expect(writtenBytes(folder)).toBe(before);
});

test("two processes with different definitions do not wake each other for ever", async () => {
  const folder = await Folder.make();
  const small = await folder.desk();
  const large = await folder.desk();
  await small.storage.append([{ ...small.chunk([1, 2, 3]), dueInMs: 60_000 }]);
  for (let n = 0; n < 3; n++) {
    await small.claim({ maxSize: 5 });
    await large.claim({ maxSize: 50, groupConcurrency: 1 });
  }
  const before = writtenBytes(folder);
  for (let n = 0; n < 3; n++) {
    await small.claim({ maxSize: 5 });
    await large.claim({ maxSize: 50, groupConcurrency: 1 });
  }
  expect(writtenBytes(folder)).toBe(before);
  await small.storage.append([{ ...small.chunk([4, 5]), dueInMs: 60_000 }]);
  expect(await large.claim({ maxSize: 50, groupConcurrency: 1, limit: 0 })).toEqual([]);
  expect(await small.claim({ maxSize: 5 })).toHaveLength(1);
});

test("an append writes to no table that grows with the backlog", async () => {
  const folder = await Folder.make();
  const desk = await folder.desk();
  await desk.add("a");
  await desk.add("b");
  expect(folder.number("SELECT count(*) FROM batchwork_chunks")).toBe(2);
  expect(folder.number("SELECT count(*) FROM batchwork_groups")).toBe(0);
  expect(folder.number("SELECT sum(counted) FROM batchwork_queues")).toBe(0);
});

test("changed tells of other connections' commits, once, and not of its own", async () => {
  const folder = await Folder.make();
  const [one, two] = [await folder.desk(), await folder.desk()];
  one.storage.changed();
  await one.add("a");
  expect(one.storage.changed()).toBe(false);
  await two.add("b");
  expect(one.storage.changed()).toBe(true);
  expect(one.storage.changed()).toBe(false);
  await two.claim({ limit: 0 });
  one.storage.changed();
  await two.claim({ limit: 0 });
  expect(one.storage.changed()).toBe(false);
});
