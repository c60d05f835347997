/** `throttle` on PostgreSQL, where claims of one queue otherwise run side by side. */
import pg from "pg";
import { expect, onTestFinished, test } from "vitest";

import { Batchwork, type Batch } from "../../../src/index.ts";
import { postgres } from "../../../src/storage/postgres/index.ts";
import { PostgresStorage } from "../../../src/storage/postgres/storage.ts";
import type { QueueClaim } from "../../../src/storage/storage.ts";
import { ManualClock } from "../../../src/testing/manual-clock.ts";
import { describePostgres, testDatabase } from "../../postgres/database.ts";

const HOUR_MS = 3_600_000;

describePostgres("a throttle on PostgreSQL", () => {
  const { url, pool } = testDatabase();

  /** A storage at the time that `time` says. */
  async function storageAt(time: { now: number }): Promise<PostgresStorage> {
    const storage = new PostgresStorage({
      source: { pool },
      schema: "batchwork",
      durability: "full",
      notifications: false,
      now: () => time.now,
    });
    await storage.open({ clock: new ManualClock() });
    onTestFinished(async () => storage.close());
    return storage;
  }

  /** A queue with so many batches to claim. */
  async function queueOf(storage: PostgresStorage, name: string, count: number): Promise<number> {
    const [info] = await storage.define([{ name, notify: false }]);
    const queue = info?.id ?? 0;
    const chunk = { queue, group: "", count: 1, bytes: 1, payload: "1", dueInMs: 0 };
    await storage.append(Array.from({ length: count }, () => chunk));
    return queue;
  }

  function claimOf(queue: number, max: number): QueueClaim {
    return {
      queue,
      maxSize: 1,
      maxBytes: Number.POSITIVE_INFINITY,
      groupConcurrency: Number.POSITIVE_INFINITY,
      limit: 5,
      throttle: { max, durationMs: HOUR_MS },
    };
  }

  async function claimed(storage: PostgresStorage, claim: QueueClaim): Promise<number> {
    const incarnation = await storage.enroll(15_000);
    const request = { incarnation, settlements: [], claims: [claim], alone: false };
    return (await storage.exchange(request)).claimed.length;
  }

  test("many who claim at once get no more together than it allows", async () => {
    const time = { now: 1_000_000 };
    const storages = await Promise.all(Array.from({ length: 6 }, async () => storageAt(time)));
    const [first] = storages as [PostgresStorage];
    for (let round = 0; round < 5; round++) {
      const queue = await queueOf(first, `race-${round}`, 60);
      const counts = await Promise.all(
        storages.flatMap((storage) => [
          claimed(storage, claimOf(queue, 7)),
          claimed(storage, claimOf(queue, 7)),
        ]),
      );
      expect(counts.reduce((sum, count) => sum + count)).toBe(7);
      time.now += HOUR_MS;
      expect(await claimed(first, claimOf(queue, 7))).toBe(5);
    }
  });

  test("a clock that is set back holds nothing up for longer than the span", async () => {
    const time = { now: 100 * HOUR_MS };
    const storage = await storageAt(time);
    const queue = await queueOf(storage, "set-back", 20);
    expect(await claimed(storage, claimOf(queue, 3))).toBe(3);
    time.now = 50 * HOUR_MS;
    const later = { queue, group: "later", count: 1, bytes: 1, payload: "1", dueInMs: 0 };
    await storage.append(Array.from({ length: 20 }, () => later));
    expect(await claimed(storage, claimOf(queue, 3))).toBe(0);
    time.now += HOUR_MS - 1;
    expect(await claimed(storage, claimOf(queue, 3))).toBe(0);
    time.now += 1;
    expect(await claimed(storage, claimOf(queue, 3))).toBe(3);
    expect(await claimed(storage, claimOf(queue, 3))).toBe(0);
  });

  test("no more is kept of the past than the span needs", async () => {
    const time = { now: 1000 * HOUR_MS };
    const storage = await storageAt(time);
    const queue = await queueOf(storage, "past", 100);
    for (let n = 0; n < 20; n++) {
      expect(await claimed(storage, claimOf(queue, 3))).toBe(3);
      time.now += HOUR_MS;
    }
    const { rows } = await pool.query(
      "SELECT count(*)::int AS n FROM batchwork.deliveries WHERE queue = $1",
      [queue],
    );
    expect(rows).toEqual([{ n: 1 }]);
  });

  test("handlers of two engines begin no oftener than it allows, flush() or not", async () => {
    const items: number[] = [];
    const engine = (): { readonly bw: Batchwork; readonly batch: Batch<number> } => {
      const own = new pg.Pool({ connectionString: url, max: 5 });
      const bw = new Batchwork({ storage: postgres({ pool: own }), tickIntervalMs: 100 });
      onTestFinished(async () => {
        await bw.stop({ graceMs: 5000 });
        await own.end();
      });
      const batch = bw.batch<number>({
        name: "engines",
        maxSize: 2,
        maxWaitMs: 0,
        throttle: { max: 5, duration: HOUR_MS },
        handler: (ctx) => void items.push(...ctx.batch),
      });
      return { bw, batch };
    };
    const engines = [engine(), engine()] as const;
    await engines[0].batch.addBulk(Array.from({ length: 30 }, (_, n) => n));
    await Promise.all(engines.map(async ({ bw }) => bw.start()));
    await expect.poll(() => items.length, { timeout: 30_000 }).toBe(10);
    // Whoever waits in it is told when the engine stops.
    const flushing = engines[0].batch.flush().catch((error: unknown) => error);
    for (let n = 0; n < 5; n++) await Promise.all(engines.map(async ({ bw }) => bw.tick()));
    expect(items).toHaveLength(10);
    const { throttledUntil, waiting } = await engines[1].batch.status();
    expect(waiting).toBe(20);
    expect(throttledUntil).toBeInstanceOf(Date);
    await engines[0].bw.stop({ graceMs: 5000 });
    expect(await flushing).toMatchObject({ code: "STOPPED" });
  });
});
