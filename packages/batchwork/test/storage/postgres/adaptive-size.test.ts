/** `target` on PostgreSQL, where a smaller size than before is a change that claims share. */
import pg from "pg";
import { expect, onTestFinished, test } from "vitest";

import { Batchwork, type Batch, type Clock } from "../../../src/index.ts";
import { systemClock } from "../../../src/runtime/clock.ts";
import { postgres } from "../../../src/storage/postgres/index.ts";
import { describePostgres, testDatabase } from "../../postgres/database.ts";

/** So long that what the machine adds makes no difference, ms. */
const ITEM_MS = 1_000_000;

interface Paced {
  readonly bw: Batchwork;
  readonly batch: Batch<number>;
  readonly sizes: number[];
  readonly items: number[];
}

describePostgres("a target on PostgreSQL", () => {
  const { url } = testDatabase();

  /** An engine whose handlers seem to take as long as `msPerItem` says. */
  function engine(msPerItem: number, durationMs: number, maxSize: number): Paced {
    const sizes: number[] = [];
    const items: number[] = [];
    let passed = 0;
    const clock: Clock = {
      ...systemClock,
      monotonicMs: () => systemClock.monotonicMs() + passed,
    };
    const own = new pg.Pool({ connectionString: url, max: 5 });
    const bw = new Batchwork({ storage: postgres({ pool: own }), tickIntervalMs: 200, clock });
    onTestFinished(async () => {
      await bw.stop({ graceMs: 5000 });
      await own.end();
    });
    const options = { maxSize, maxWaitMs: 20, concurrency: 1, target: { durationMs } };
    const batch = bw.batch<number>({
      name: "orders",
      ...options,
      handler: (ctx) => {
        sizes.push(ctx.batchSize);
        items.push(...ctx.batch);
        passed += ctx.batchSize * msPerItem;
      },
    });
    return { bw, batch, sizes, items };
  }

  test("batches grow step by step, no further than the time allows", async () => {
    const { bw, batch, sizes } = engine(ITEM_MS, ITEM_MS * 10, 50);
    await batch.addBulk(Array.from({ length: 200 }, (_, n) => n));
    await bw.start();
    await batch.flush();
    expect([...new Set(sizes.slice(0, -1))]).toEqual([1, 2, 3, 4, 6, 8]);
    expect(sizes.reduce((sum, size) => sum + size)).toBe(200);
  });

  test("two processes that ask for different sizes hand over every item once", async () => {
    const slow = engine(ITEM_MS * 4, ITEM_MS * 10, 50);
    const fast = engine(1, ITEM_MS * 10, 50);
    const all = Array.from({ length: 2000 }, (_, n) => n);
    await fast.batch.addBulk(all);
    await Promise.all([slow.bw.start(), fast.bw.start()]);
    await fast.batch.flush();
    expect([...slow.items, ...fast.items].toSorted((a, b) => a - b)).toEqual(all);
    expect(Math.max(...slow.sizes)).toBeLessThanOrEqual(4);
    expect(Math.max(...fast.sizes)).toBe(50);
  });
});
