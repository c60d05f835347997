/** `maxPending` on SQLite, where triggers count what is pending, and only while they are needed. */
import { expect, test } from "vitest";

import type { SharedSettings } from "../../../src/core/definition.ts";
import type { NewChunk, Storage } from "../../../src/storage/storage.ts";
import { DONE, Folder } from "./fixture.ts";

const UNLIMITED = Number.POSITIVE_INFINITY;

const PLAIN: SharedSettings = {
  groupConcurrency: UNLIMITED,
  throttle: null,
  maxPending: null,
  completed: null,
  failed: null,
};

const LIMIT = { items: 5, bytes: UNLIMITED };

const LIMITED: SharedSettings = { ...PLAIN, maxPending: LIMIT };

async function propose(storage: Storage, queue: number, settings: SharedSettings): Promise<void> {
  await storage.propose([{ queue, version: 1, settings }]);
}

function triggers(folder: Folder): number {
  return folder.number("SELECT count(*) FROM sqlite_schema WHERE type = 'trigger'");
}

function chunk(queue: number, count: number): NewChunk {
  const payload = Array.from({ length: count }, () => "1").join(",\n");
  return { queue, group: "", count, bytes: count, payload, dueInMs: 0 };
}

test("without a limit there is no trigger, and after the last one there is none again", async () => {
  const folder = await Folder.make();
  const { storage, queue } = await folder.desk();
  await propose(storage, queue, PLAIN);
  expect(triggers(folder)).toBe(0);
  await propose(storage, queue, LIMITED);
  expect(triggers(folder)).toBe(3);
  const [other] = await storage.define([{ name: "other", notify: false }]);
  await propose(storage, other?.id ?? 0, LIMITED);
  await propose(storage, queue, PLAIN);
  expect(triggers(folder)).toBe(3);
  await propose(storage, other?.id ?? 0, PLAIN);
  expect(triggers(folder)).toBe(0);
  expect(folder.number("SELECT count(*) FROM batchwork_pending")).toBe(0);
});

test("a process that knows of no limit is counted all the same", async () => {
  const folder = await Folder.make();
  const first = await folder.desk();
  const second = await folder.desk();
  await second.storage.append([chunk(second.queue, 1)]);
  await propose(first.storage, first.queue, LIMITED);
  await second.storage.append([chunk(second.queue, 2)]);
  const limited = { ...chunk(first.queue, 3), limit: LIMIT };
  await expect(first.storage.append([limited])).rejects.toMatchObject({ room: { items: 2 } });
  for (const batch of await second.claim()) await second.settle(batch, DONE);
  await first.storage.append([limited]);
});

test("what a transaction of the user's adds is counted with it, and not when it is rolled back", async () => {
  const folder = await Folder.make();
  const { storage, queue } = await folder.desk();
  await propose(storage, queue, LIMITED);
  const limited = { ...chunk(queue, 3), limit: LIMIT };
  const handle = folder.handle();
  handle.exec("BEGIN IMMEDIATE");
  storage.appendInside(handle, [limited]);
  expect(() => storage.appendInside(handle, [limited])).toThrow(/room for 2 more, not for 3/);
  handle.exec("ROLLBACK");
  handle.exec("BEGIN IMMEDIATE");
  storage.appendInside(handle, [limited]);
  handle.exec("COMMIT");
  await expect(storage.append([limited])).rejects.toMatchObject({ code: "QUEUE_FULL" });
});

test("tasks of a pool are counted by the same triggers, and only while there is a limit", async () => {
  const folder = await Folder.make();
  const { storage, queue, incarnation } = await folder.desk();
  await storage.pools.define([{ queue, callbacks: null, resultTtlMs: 60_000 }]);
  await propose(storage, queue, PLAIN);
  await storage.append([{ ...chunk(queue, 4), group: "0:" }]);
  expect(triggers(folder)).toBe(0);
  await propose(storage, queue, LIMITED);
  expect(triggers(folder)).toBe(3);
  const unlimited = { maxBytes: UNLIMITED, maxParallelism: UNLIMITED, concurrencyPerKey: 1 };
  const claims = [{ queue, limit: 10, ...unlimited }];
  const request = { incarnation, settlements: [], claims, alone: false };
  const { claimed } = await storage.pools.exchange(request);
  const [slice] = claimed as [(typeof claimed)[number]];
  const { batch, token } = slice;
  const nothing = { values: null, again: [], dead: [], callbacks: null };
  for (const [n, index] of [2, 0, 3].entries()) {
    const settlements = [{ batch, token, done: [index], ...nothing }];
    await storage.pools.exchange({ ...request, settlements, claims: [] });
    expect(folder.number("SELECT items FROM batchwork_pending")).toBe(3 - n);
    expect(folder.number("SELECT bytes FROM batchwork_pending")).toBe(3 - n);
  }
  await propose(storage, queue, PLAIN);
  expect(triggers(folder)).toBe(0);
  expect(await storage.pending(queue)).toEqual({ items: 1, bytes: 1 });
});

test("the count is what a count of the chunks would be, whatever has happened to them", async () => {
  const folder = await Folder.make();
  const desk = await folder.desk();
  const { storage, queue } = desk;
  await propose(storage, queue, LIMITED);
  const error = { name: "Error", message: "no luck" };
  for (let round = 0; round < 3; round++) {
    await storage.append([chunk(queue, 7), chunk(queue, 6)]);
    for (const batch of await desk.claim()) {
      const children = [{ positions: [0, 2], attempt: 2, delayMs: 0, error }];
      const dead = [{ position: 1, error }];
      const divided = { kind: "split", children, dead, error } as const;
      await desk.settle(batch, batch.count > 2 ? divided : DONE);
    }
    const counted = "SELECT sum(live) FROM batchwork_chunks";
    expect(folder.number("SELECT items FROM batchwork_pending")).toBe(folder.number(counted));
    await storage.redrive(queue, "all");
    expect(folder.number("SELECT items FROM batchwork_pending")).toBe(folder.number(counted));
  }
});
