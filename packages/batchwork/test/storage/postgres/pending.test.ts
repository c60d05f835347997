/** `maxPending` on PostgreSQL, where each process has a budget and no row counts what is pending. */
import { expect, onTestFinished, test } from "vitest";

import { QueueFullError } from "../../../src/core/pending.ts";
import { Batchwork } from "../../../src/index.ts";
import { postgres } from "../../../src/storage/postgres/index.ts";
import { PostgresStorage } from "../../../src/storage/postgres/storage.ts";
import type { NewChunk } from "../../../src/storage/storage.ts";
import { ManualClock } from "../../../src/testing/manual-clock.ts";
import { describePostgres, testDatabase } from "../../postgres/database.ts";

const BUDGET_MS = 15_000;

const UNLIMITED = Number.POSITIVE_INFINITY;

interface Process {
  readonly storage: PostgresStorage;
  readonly clock: ManualClock;
}

describePostgres("a limit on what is pending, on PostgreSQL", () => {
  const { url, pool } = testDatabase();

  /** A process; storage time is what `time` says, and its own clock is its own. */
  async function processAt(time: { now: number }): Promise<Process> {
    const clock = new ManualClock();
    const storage = new PostgresStorage({
      source: { pool },
      schema: "batchwork",
      durability: "full",
      notifications: false,
      now: () => time.now,
    });
    await storage.open({ clock });
    onTestFinished(async () => storage.close());
    return { storage, clock };
  }

  async function limitedQueue(
    { storage }: Process,
    name: string,
    items: number,
  ): Promise<(count: number) => NewChunk> {
    const [info] = await storage.define([{ name, notify: false }]);
    const queue = info?.id ?? 0;
    const limit = { items, bytes: UNLIMITED };
    const settings = { groupConcurrency: UNLIMITED, throttle: null, completed: null, failed: null };
    await storage.propose([{ queue, version: 1, settings: { ...settings, maxPending: limit } }]);
    return (count) => {
      const payload = Array.from({ length: count }, () => "1").join(",\n");
      return { queue, group: "", count, bytes: count, payload, dueInMs: 0, limit };
    };
  }

  /** How many of so many single items were stored. */
  async function addMany({ storage }: Process, chunk: NewChunk, most: number): Promise<number> {
    let stored = 0;
    for (let n = 0; n < most; n++) {
      try {
        await storage.append([chunk]);
        stored++;
      } catch (error) {
        if (!(error instanceof QueueFullError)) throw error;
      }
    }
    return stored;
  }

  async function waiting({ storage }: Process, { queue }: NewChunk): Promise<number> {
    return (await storage.counts(queue, null)).waiting;
  }

  async function workOff(
    { storage }: Process,
    { queue }: NewChunk,
    maxSize: number,
  ): Promise<void> {
    const incarnation = await storage.enroll(BUDGET_MS);
    const unlimited = { maxBytes: UNLIMITED, groupConcurrency: UNLIMITED };
    const claims = [{ queue, maxSize, ...unlimited, limit: 1 }];
    const request = { incarnation, settlements: [], alone: false };
    const { claimed } = await storage.exchange({ ...request, claims });
    const settlements = claimed.map(({ batch, token }) => {
      return { batch, token, outcome: { kind: "done" } } as const;
    });
    await storage.exchange({ ...request, claims: [], settlements });
    await storage.retire(incarnation);
  }

  test("many who add at once never have more pending than it allows", async () => {
    const time = { now: 1_000_000 };
    const processes = await Promise.all(Array.from({ length: 6 }, async () => processAt(time)));
    const [first] = processes as [Process];
    const chunk = (await limitedQueue(first, "race", 40))(1);
    let most = 0;
    for (let round = 0; round < 3; round++) {
      const adds = processes.map(async (process) => addMany(process, chunk, 15));
      const worked = workOff(first, chunk, 17);
      await Promise.all([...adds, worked]);
      most = Math.max(most, await waiting(first, chunk));
      expect(most).toBeLessThanOrEqual(40);
    }
    expect(most).toBeGreaterThan(20);
  });

  test("what a process that is gone was given comes back when its time is over", async () => {
    const time = { now: 2_000_000 };
    const [one, gone] = [await processAt(time), await processAt(time)];
    const chunk = (await limitedQueue(one, "gone", 80))(1);
    await gone.storage.append([chunk]);
    // A share of the room is kept for it.
    expect(await addMany(one, chunk, 80)).toBeLessThan(79);
    time.now += BUDGET_MS;
    await one.clock.advance(BUDGET_MS);
    await addMany(one, chunk, 80);
    expect(await waiting(one, chunk)).toBe(80);
  });

  test("what a process does not use it gives back with its heartbeats, and when it closes", async () => {
    const time = { now: 3_000_000 };
    const [one, idle] = [await processAt(time), await processAt(time)];
    const chunk = (await limitedQueue(one, "idle", 80))(1);
    const incarnation = await idle.storage.enroll(BUDGET_MS);
    await idle.storage.append([chunk]);
    await idle.storage.heartbeat(incarnation, BUDGET_MS);
    await idle.storage.heartbeat(incarnation, BUDGET_MS);
    await addMany(one, chunk, 80);
    expect(await waiting(one, chunk)).toBe(80);
    await workOff(one, chunk, 80);
    await one.storage.append([chunk]);
    await one.storage.close();
    await addMany(idle, chunk, 80);
    expect(await waiting(idle, chunk)).toBe(80);
  });

  test("who was away for longer than the time of a budget adds nothing by it", async () => {
    const time = { now: 4_000_000 };
    const [one, away] = [await processAt(time), await processAt(time)];
    const chunk = (await limitedQueue(one, "away", 80))(1);
    await away.storage.append([chunk]);
    // Its own clock stands still: it believes that it still has its budget.
    time.now += BUDGET_MS;
    await one.clock.advance(BUDGET_MS);
    await addMany(one, chunk, 80);
    expect(await waiting(one, chunk)).toBe(80);
    expect(await addMany(away, chunk, 5)).toBe(0);
    await workOff(one, chunk, 80);
    expect(await addMany(away, chunk, 5)).toBe(5);
  });

  test("what an open transaction has added counts until it ends, however long", async () => {
    const time = { now: 5_000_000 };
    const process = await processAt(time);
    const { storage, clock } = process;
    const chunkOf = await limitedQueue(process, "open", 10);
    const client = await pool.connect();
    try {
      await client.query("BEGIN");
      await storage.appendWithin(client, [chunkOf(6)]);
      await expect(storage.appendWithin(client, [chunkOf(5)])).rejects.toMatchObject({
        code: "QUEUE_FULL",
      });
      time.now += 10 * BUDGET_MS;
      await clock.advance(10 * BUDGET_MS);
      await expect(storage.append([chunkOf(5)])).rejects.toMatchObject({ room: { items: 4 } });
      await client.query("ROLLBACK");
      await storage.append([chunkOf(10)]);
      await workOff(process, chunkOf(1), 10);
      // A snapshot that is kept sees nothing of budgets: none of its own is asked for.
      await client.query("BEGIN ISOLATION LEVEL REPEATABLE READ");
      await client.query("SELECT 1");
      await storage.appendWithin(client, [chunkOf(6)]);
      await client.query("COMMIT");
      await expect(storage.append([chunkOf(5)])).rejects.toMatchObject({ code: "QUEUE_FULL" });
      await storage.append([chunkOf(4)]);
    } finally {
      await client.query("ROLLBACK");
      client.release();
    }
  });

  test("a limit of some items needs no statement more for most appends", async () => {
    const time = { now: 6_000_000 };
    const process = await processAt(time);
    const chunk = (await limitedQueue(process, "cheap", 1_000_000))(1);
    await process.storage.append([chunk]);
    const before = await budgetsGiven();
    await addMany(process, chunk, 50);
    expect(await budgetsGiven()).toEqual(before);
    expect(before).toHaveLength(1);
  });

  async function budgetsGiven(): Promise<unknown[]> {
    const sql = "SELECT id, items, expires_at, xmin::text FROM batchwork.budgets ORDER BY id";
    return (await pool.query(sql)).rows.slice(-1) as unknown[];
  }

  test("two engines fill and empty a queue that waits, in order and without a loss", async () => {
    const options = {
      name: "engines",
      maxSize: 7,
      maxWaitMs: 20,
      maxPending: { items: 30, policy: "wait" },
      version: 2,
    } as const;
    const handled: number[] = [];
    let most = 0;
    const engines = [1, 2].map(() => {
      const bw = new Batchwork({ storage: postgres({ connectionString: url }), pollMs: 5 });
      onTestFinished(async () => bw.stop());
      const batch = bw.batch<number>({
        ...options,
        handler: (ctx) => void handled.push(...ctx.batch),
      });
      return { bw, batch };
    });
    await Promise.all(engines.map(async ({ bw }) => bw.start()));
    const producers = engines.map(async ({ batch }, n) => {
      for (let item = 0; item < 200; item += 5) {
        await batch.addBulk([0, 1, 2, 3, 4].map((k) => 1000 * n + item + k));
        const { waiting: some } = await batch.status();
        most = Math.max(most, some);
      }
    });
    await Promise.all(producers);
    await expect.poll(() => handled.length, { timeout: 20_000 }).toBe(400);
    expect(new Set(handled).size).toBe(400);
    expect(most).toBeLessThanOrEqual(30);
  });

  test("a budget that another schema's function refuses is told of as it is", async () => {
    const process = await processAt({ now: 7_000_000 });
    const chunk = (await limitedQueue(process, "broken", 10))(1);
    await pool.query("ALTER TABLE batchwork.budgets RENAME TO budgets_away");
    try {
      await expect(process.storage.append([chunk])).rejects.toMatchObject({
        code: "STORAGE_FAILED",
      });
    } finally {
      await pool.query("ALTER TABLE batchwork.budgets_away RENAME TO budgets");
    }
    await process.storage.append([chunk]);
  });
});
