/** When waiting items become a batch: full, old enough, or asked for. */
import { describe, expect, test } from "vitest";

import { Fixture, Hold, itemsOf, numbers, recorder, STORAGES } from "./fixture.ts";

/** An item whose text is this many bytes long. */
function ofBytes(bytes: number): string {
  return "x".repeat(bytes - 2);
}

describe.each(STORAGES)("when a batch is handed over, on %s storage", (kind) => {
  test("maxSize is a cap, not a trigger: 10,000 items make 20 batches of exactly 500", async () => {
    const f = new Fixture(kind);
    const { deliveries, handler } = recorder<number>(f.clock);
    const { batch } = await f.started((bw) =>
      bw.batch<number>({
        name: "events",
        maxSize: 500,
        maxWaitMs: 60_000,
        concurrency: 1,
        handler,
      }),
    );
    await f.run(batch.addBulk(numbers(10_000)));
    await f.advance(0);
    expect(deliveries.map(({ items }) => items.length)).toEqual(
      Array.from({ length: 20 }, () => 500),
    );
    expect(itemsOf(deliveries)).toEqual(numbers(10_000));
    expect(new Set(deliveries.map(({ id }) => id)).size).toBe(20);
  });

  test("a full batch goes at once, without any time passing", async () => {
    const f = new Fixture(kind);
    const { deliveries, handler } = recorder<number>(f.clock);
    const { batch } = await f.started((bw) =>
      bw.batch<number>({ name: "events", maxSize: 100, maxWaitMs: 60_000, handler }),
    );
    await f.run(batch.addBulk(numbers(99)));
    await f.advance(59_000);
    expect(deliveries).toEqual([]);
    await f.run(batch.add(99));
    await f.advance(0);
    expect(deliveries).toMatchObject([{ items: numbers(100), at: 59_000 }]);
  });

  test("chunks that do not fill batches evenly are cut, and batches are still full", async () => {
    const f = new Fixture(kind);
    const { deliveries, handler } = recorder<number>(f.clock);
    const { batch } = await f.started((bw) =>
      bw.batch<number>({ name: "events", maxSize: 10, maxWaitMs: 1000, concurrency: 1, handler }),
    );
    for (let from = 0; from < 35; from += 7) {
      await f.run(batch.addBulk(numbers(7).map((n) => from + n)));
    }
    await f.advance(1000);
    expect(deliveries.map(({ items }) => items.length)).toEqual([10, 10, 10, 5]);
    expect(itemsOf(deliveries)).toEqual(numbers(35));
  });

  test("maxWaitMs counts from the oldest item, and takes along whatever came later", async () => {
    const f = new Fixture(kind);
    const { deliveries, handler } = recorder<string>(f.clock);
    const { batch } = await f.started((bw) =>
      bw.batch<string>({ name: "events", maxSize: 500, maxWaitMs: 1000, handler }),
    );
    await f.advance(123);
    await f.run(batch.add("old"));
    await f.advance(900);
    await f.run(batch.add("young"));
    await f.advance(99);
    expect(deliveries).toEqual([]);
    await f.advance(1);
    expect(deliveries).toMatchObject([{ items: ["old", "young"], at: 1123 }]);
  });

  test("what a full batch leaves behind waits for its own time", async () => {
    const f = new Fixture(kind);
    const { deliveries, handler } = recorder<number>(f.clock);
    const { batch } = await f.started((bw) =>
      bw.batch<number>({ name: "events", maxSize: 10, maxWaitMs: 1000, handler }),
    );
    await f.run(batch.addBulk(numbers(9)));
    await f.advance(700);
    await f.run(batch.addBulk([9, 10, 11]));
    await f.advance(999);
    expect(itemsOf(deliveries)).toEqual(numbers(10));
    await f.advance(1);
    expect(deliveries.map(({ items, at }) => [items.length, at])).toEqual([
      [10, 700],
      [2, 1700],
    ]);
  });

  test("a wait longer than the backstop look ends on time", async () => {
    const f = new Fixture(kind);
    const { deliveries, handler } = recorder<number>(f.clock);
    const { batch } = await f.started((bw) =>
      bw.batch<number>({ name: "events", maxSize: 10, maxWaitMs: 3_600_001, handler }),
    );
    await f.run(batch.add(1));
    await f.advance(3_600_000);
    expect(deliveries).toEqual([]);
    await f.advance(1);
    expect(deliveries).toMatchObject([{ at: 3_600_001 }]);
  }, 60_000);

  test("maxWaitMs of 0 hands over at once", async () => {
    const f = new Fixture(kind);
    const { deliveries, handler } = recorder<number>(f.clock);
    const { batch } = await f.started((bw) =>
      bw.batch<number>({ name: "events", maxSize: 10, maxWaitMs: 0, handler }),
    );
    await f.run(batch.add(1));
    await f.advance(1);
    expect(itemsOf(deliveries)).toEqual([1]);
  });

  test("maxBytes hands over at once when reached, and not a byte earlier", async () => {
    const f = new Fixture(kind);
    const { deliveries, handler } = recorder<string>(f.clock);
    const { batch } = await f.started((bw) =>
      bw.batch<string>({ name: "events", maxSize: 500, maxBytes: 100, maxWaitMs: 60_000, handler }),
    );
    await f.run(batch.addBulk([ofBytes(50), ofBytes(49)]));
    await f.advance(10_000);
    expect(deliveries).toEqual([]);
    await f.run(batch.add("é"));
    await f.advance(0);
    expect(deliveries.map(({ items }) => items.length)).toEqual([2]);
    await f.advance(60_000);
    expect(deliveries.map(({ items }) => items.length)).toEqual([2, 1]);
  });

  test("maxBytes is noticed at once also behind a batch that was cut short by it", async () => {
    const f = new Fixture(kind);
    const { deliveries, handler } = recorder<string>(f.clock);
    const { batch } = await f.started((bw) =>
      bw.batch<string>({ name: "events", maxSize: 500, maxBytes: 100, maxWaitMs: 60_000, handler }),
    );
    await f.run(batch.addBulk([ofBytes(10), ofBytes(95)]));
    await f.advance(0);
    expect(deliveries.map(({ items }) => items.length)).toEqual([1]);
    await f.run(batch.add(ofBytes(10)));
    await f.advance(0);
    expect(deliveries.map(({ items }) => items.length)).toEqual([1, 1]);
  });

  test("no batch has more than maxBytes, and order is kept for that", async () => {
    const f = new Fixture(kind);
    const { deliveries, handler } = recorder<string>(f.clock);
    const { batch } = await f.started((bw) =>
      bw.batch<string>({
        name: "events",
        maxSize: 500,
        maxBytes: 100,
        maxWaitMs: 1000,
        concurrency: 1,
        handler,
      }),
    );
    const items = [60, 60, 30, 10, 100, 99, 2, 50, 50, 3].map((bytes) => ofBytes(bytes));
    await f.run(Promise.all(items.map((item) => batch.add(item))));
    await f.run(batch.addBulk(items));
    await f.advance(1000);
    for (const delivery of deliveries) {
      const bytes = delivery.items.reduce((sum, item) => sum + item.length + 2, 0);
      expect(bytes).toBeLessThanOrEqual(100);
    }
    expect(itemsOf(deliveries)).toEqual([...items, ...items]);
  });

  test("items that come while all handlers are busy go together, not one by one", async () => {
    const f = new Fixture(kind);
    const hold = new Hold();
    const { deliveries, handler } = recorder<number>(f.clock, () => hold.wait());
    const { batch } = await f.started((bw) =>
      bw.batch<number>({ name: "events", maxSize: 500, maxWaitMs: 100, concurrency: 1, handler }),
    );
    await f.run(batch.add(-1));
    await f.advance(100);
    for (let n = 0; n < 30; n++) {
      await f.run(batch.add(n));
      await f.advance(100);
    }
    expect(deliveries).toHaveLength(1);
    hold.release();
    await f.advance(0);
    expect(deliveries[1]?.items).toEqual(numbers(30));
  });

  test("ids of batches ascend, and a handler is told all about its batch", async () => {
    const f = new Fixture(kind);
    const seen: unknown[] = [];
    const { batch } = await f.started((bw) =>
      bw.batch<string>({
        name: "events",
        maxSize: 2,
        maxWaitMs: 1000,
        retries: { max: 4 },
        handler: ({ name, batchSize, attempt, maxAttempts, createdAt, signal, groupKey }) => {
          const { aborted } = signal;
          seen.push({ name, batchSize, attempt, maxAttempts, createdAt, aborted, groupKey });
        },
      }),
    );
    await f.run(batch.addBulk(["a", "b"]));
    await f.advance(0);
    expect(seen).toEqual([
      {
        name: "events",
        batchSize: 2,
        attempt: 1,
        maxAttempts: 5,
        createdAt: new Date(f.clock.wallMs()),
        aborted: false,
        groupKey: undefined,
      },
    ]);
  });

  test("handlers of one look start in separate turns of the event loop", async () => {
    const f = new Fixture(kind);
    const order: string[] = [];
    const { batch } = await f.started((bw) =>
      bw.batch<number>({
        name: "events",
        maxSize: 1,
        maxWaitMs: 1000,
        handler: ({ batch: [item] }) => {
          order.push(`batch ${item}`);
          f.clock.soon(() => void order.push(`others after ${item}`));
        },
      }),
    );
    await f.run(batch.addBulk([1, 2, 3]));
    await f.advance(0);
    expect(order).toEqual([
      "batch 1",
      "others after 1",
      "batch 2",
      "others after 2",
      "batch 3",
      "others after 3",
    ]);
  });
});
