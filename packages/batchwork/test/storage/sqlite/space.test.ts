import { expect, test } from "vitest";

import type { Outcome } from "../../../src/core/settle.ts";
import { DONE_BATCHES_KEPT, EMPTY_GROUPS_KEPT } from "../../../src/storage/sqlite/housekeeping.ts";
import { contents, DONE, Folder, type Desk } from "./fixture.ts";

const FAILURE = { name: "Error", message: "no luck" };

function rows(folder: Folder, table: string): number {
  return folder.number(`SELECT count(*) FROM batchwork_${table}`);
}

function split(children: readonly number[][], dead: readonly number[]): Outcome {
  return {
    kind: "split",
    children: children.map((positions) => ({ positions, attempt: 2, delayMs: 0, error: FAILURE })),
    dead: dead.map((position) => ({ position, error: FAILURE })),
    error: FAILURE,
  };
}

/** Claims and settles until nothing is left. */
async function drain(desk: Desk): Promise<unknown[]> {
  const found: unknown[] = [];
  for (;;) {
    const batches = await desk.claim();
    if (batches.length === 0) return found;
    found.push(...contents(batches));
    for (const batch of batches) expect(await desk.settle(batch, DONE)).toBe("settled");
  }
}

test("small chunks are kept in their header, large ones beside it", async () => {
  const folder = await Folder.make();
  const desk = await folder.desk();
  const large = "ü".repeat(5000);
  await desk.add("small");
  await desk.add(large);
  expect(rows(folder, "chunks")).toBe(2);
  expect(rows(folder, "payloads")).toBe(1);
  expect(await drain(desk)).toEqual(["small", large]);
  expect(rows(folder, "chunks")).toBe(0);
  expect(rows(folder, "payloads")).toBe(0);
});

test("a chunk that several batches share is deleted with the last of them", async () => {
  const folder = await Folder.make();
  const desk = await folder.desk();
  const long = "x".repeat(600);
  const items = Array.from({ length: 25 }, (_, n) => `${n} ${long}`);
  await desk.add(...items);
  const batches = await desk.claim();
  expect(batches).toHaveLength(3);
  expect(contents(batches)).toEqual(items);
  for (const batch of batches.toReversed()) {
    expect(rows(folder, "payloads")).toBe(1);
    await desk.settle(batch);
  }
  expect(rows(folder, "chunks") + rows(folder, "payloads")).toBe(0);
});

test("items that go on, die or succeed give their space back exactly once", async () => {
  const folder = await Folder.make();
  const desk = await folder.desk();
  await desk.add(0, 1, 2, 3, 4, 5);
  await desk.add(6, 7, 8, 9);
  const first = await desk.claimOne();
  await desk.settle(first, split([[1, 3, 6], [2]], [0, 9]));
  expect(rows(folder, "chunks")).toBe(2);
  const [left, right] = await desk.claim();
  expect(contents([left as never])).toEqual([1, 3, 6]);
  await desk.settle(left as never, split([], [0, 2]));
  expect(rows(folder, "chunks")).toBe(1);
  await desk.settle(right as never);
  expect(rows(folder, "chunks")).toBe(0);
  expect(rows(folder, "dead")).toBe(4);
  await desk.storage.redrive(desk.queue, "all");
  expect(await drain(desk)).toEqual([0, 9, 1, 6]);
  expect(rows(folder, "chunks") + rows(folder, "dead")).toBe(0);
});

test("a batch of many single items takes their space back, and no other group's", async () => {
  const folder = await Folder.make();
  const desk = await folder.desk();
  const items = Array.from({ length: 5000 }, (_, n) => n);
  await desk.storage.append(items.map((n) => desk.chunk([n], n % 2 === 0 ? "even" : "odd")));
  const batches = await desk.claim({ maxSize: 2500 });
  expect(batches.map(({ count }) => count)).toEqual([2500, 2500]);
  expect(contents(batches.slice(0, 1))).toEqual(items.filter((n) => n % 2 === 0));
  await desk.settle(batches[0] as never);
  expect(rows(folder, "chunks")).toBe(2500);
  await desk.settle(batches[1] as never);
  expect(rows(folder, "chunks")).toBe(0);
});

test("every group name is a group of its own, and comes back as it was", async () => {
  const folder = await Folder.make();
  const desk = await folder.desk();
  const names = [
    "",
    "a",
    "A",
    "\0",
    "a\0b",
    "a\0c",
    "\uD800",
    "\uD801",
    "\u0001",
    '\u0001"\\u0000"',
  ];
  await desk.storage.append(names.map((name, n) => desk.chunk([n], name)));
  const batches = await desk.claim();
  expect(batches.map(({ group }) => group)).toEqual(names);
  expect(contents(batches)).toEqual(names.map((_, n) => n));
  for (const name of names) {
    expect((await desk.storage.counts(desk.queue, name)).leased, JSON.stringify(name)).toBe(1);
  }
});

test("finished batches beyond the newest 10,000 are forgotten, and nothing else", async () => {
  const folder = await Folder.make();
  const desk = await folder.desk();
  const handle = folder.handle();
  await desk.add("live");
  const live = await desk.claimOne();
  handle.exec(`WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 10500)
    INSERT INTO batchwork_batches (queue, grp, state, token, settled, attempt, run_at, count,
      reason, first_chunk, sealed_at)
    SELECT ${desk.queue}, 1, 'done', 1, 1, 1, 0, 1, 'size', 0, 0 FROM n`);
  await desk.storage.reap(3);
  const done = "SELECT count(*) FROM batchwork_batches WHERE state = 'done'";
  expect(folder.number(done)).toBe(DONE_BATCHES_KEPT);
  expect(folder.number("SELECT min(id) FROM batchwork_batches")).toBe(live.batch);
  expect(await desk.settle(live)).toBe("settled");
  expect(await desk.settle(live)).toBe("settled");
});

test("finished batches are forgotten as fast as they come, without the reaper", async () => {
  const folder = await Folder.make();
  const desk = await folder.desk();
  const handle = folder.handle();
  handle.exec(`WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 10000)
    INSERT INTO batchwork_batches (queue, grp, state, token, settled, attempt, run_at, count,
      reason, first_chunk, sealed_at)
    SELECT ${desk.queue}, 1, 'done', 1, 1, 1, 0, 1, 'size', 0, 0 FROM n`);
  for (let n = 0; n < 600; n++) {
    await desk.add(n);
    await desk.settle(await desk.claimOne());
  }
  expect(rows(folder, "batches")).toBeLessThan(DONE_BATCHES_KEPT + 520);
});

test("empty groups are forgotten once there are many, and not those in use", async () => {
  const folder = await Folder.make();
  const desk = await folder.desk();
  const names = Array.from({ length: EMPTY_GROUPS_KEPT + 3 }, (_, n) => `g${n}`);
  await desk.storage.append(names.map((name) => desk.chunk([name], name)));
  const batches = await desk.claim({ limit: 2000 });
  const settlements = batches.slice(3).map(({ batch, token }) => ({ batch, token, outcome: DONE }));
  const { incarnation } = desk;
  await desk.storage.exchange({ incarnation, settlements, claims: [], alone: false });
  await desk.storage.release(batches.slice(0, 1));
  await desk.storage.append([desk.chunk(["waiting"], "g1")]);
  await desk.storage.reap(3);
  const left = new Set((await desk.claim()).map(({ group }) => group));
  expect(left).toEqual(new Set(["g0", "g1"]));
  // Those in use, and the one with the highest id, which no other group may get.
  expect(rows(folder, "groups")).toBe(4);
  await desk.storage.append([desk.chunk(["new"], "new")]);
  await desk.settle(await desk.claimOne());
  const query = { queue: desk.queue, group: null, before: null, limit: 500 };
  const groups = (await desk.storage.history(query)).map(({ group }) => group);
  expect(groups.slice(0, 3)).toEqual(["new", names.at(-1), null]);
});
