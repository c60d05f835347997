/** `target`: the size of batches follows how long the handler takes. */
import { describe, expect, test } from "vitest";

import type { BatchContext } from "../../src/runtime/context.ts";
import { Fixture, numbers, STORAGES } from "./fixture.ts";

const LIMITS = { name: "orders", maxSize: 100, maxWaitMs: 1000, concurrency: 1 };

interface Paced {
  readonly sizes: number[];
  readonly handler: (ctx: BatchContext<number>) => Promise<void>;
}

/** A handler that takes so long for each item, and notes how many it was given. */
function pacedHandler(f: Fixture, pace: { msPerItem: number }): Paced {
  const sizes: number[] = [];
  const handler = async (ctx: BatchContext<number>): Promise<void> => {
    sizes.push(ctx.batchSize);
    await new Promise<void>((resolve) => {
      f.clock.after(ctx.batchSize * pace.msPerItem, resolve);
    });
  };
  return { sizes, handler };
}

describe.each(STORAGES)("a target on %s storage", (kind) => {
  test("batches begin small and grow gently until they take as long as was asked for", async () => {
    const f = new Fixture(kind);
    const { sizes, handler } = pacedHandler(f, { msPerItem: 10 });
    const target = { durationMs: 320 };
    const { batch } = await f.started((bw) =>
      bw.batch<number>({ ...LIMITS, target, minSize: 2, handler }),
    );
    await f.run(batch.addBulk(numbers(800)));
    await f.advance(60_000);
    expect([...new Set(sizes)]).toEqual([2, 3, 4, 6, 8, 12, 16, 24, 32, sizes.at(-1)]);
    expect(sizes.slice(-5, -1)).toEqual([32, 32, 32, 32]);
    expect(await f.run(batch.status())).toMatchObject({ waiting: 0, leased: 0 });
  });

  test("they are halved at once when one took too long, and recover when the pace does", async () => {
    const f = new Fixture(kind);
    const pace = { msPerItem: 10 };
    const { sizes, handler } = pacedHandler(f, pace);
    const target = { durationMs: 320 };
    const { batch } = await f.started((bw) =>
      bw.batch<number>({ ...LIMITS, target, minSize: 8, handler }),
    );
    await f.run(batch.addBulk(numbers(6000)));
    await f.advance(20_000);
    expect(sizes.at(-1)).toBe(32);
    const before = sizes.length;
    pace.msPerItem = 40;
    await f.advance(20_000);
    expect(sizes.slice(before, before + 4)).toEqual([32, 16, 8, 8]);
    pace.msPerItem = 10;
    await f.advance(20_000);
    expect(sizes.at(-1)).toBe(32);
  });

  test("a timeout halves them, too", async () => {
    const f = new Fixture(kind);
    const { sizes, handler } = pacedHandler(f, { msPerItem: 100 });
    const { batch } = await f.started((bw) =>
      bw.batch<number>({
        ...LIMITS,
        target: { durationMs: 60_000 },
        timeout: 850,
        retries: { max: 1 },
        minSize: 8,
        handler,
      }),
    );
    await f.run(batch.addBulk(numbers(100)));
    await f.advance(10_000);
    // 8 items take 800 ms, and 12 take too long.
    expect(sizes.slice(0, 6)).toEqual([8, 8, 8, 8, 12, 8]);
    expect(Math.max(...sizes)).toBe(12);
  });

  test("as many items as are asked for are handed over at once, before maxWaitMs", async () => {
    const f = new Fixture(kind);
    const { sizes, handler } = pacedHandler(f, { msPerItem: 10 });
    const { batch } = await f.started((bw) =>
      bw.batch<number>({ ...LIMITS, target: { durationMs: 40 }, minSize: 4, handler }),
    );
    await f.run(batch.addBulk(numbers(3)));
    await f.advance(10);
    expect(sizes).toEqual([]);
    await f.run(batch.add(3));
    await f.advance(10);
    expect(sizes).toEqual([4]);
  });

  test("without one, batches are as large as maxSize from the start", async () => {
    const f = new Fixture(kind);
    const { sizes, handler } = pacedHandler(f, { msPerItem: 100 });
    const { batch } = await f.started((bw) => bw.batch<number>({ ...LIMITS, handler }));
    await f.run(batch.addBulk(numbers(300)));
    await f.advance(60_000);
    expect(sizes).toEqual([100, 100, 100]);
  });
});
