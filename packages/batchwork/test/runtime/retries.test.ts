/** Failed attempts: when the next one comes, with what, and when there is none. */
import { describe, expect, test } from "vitest";

import { Fixture, itemsOf, numbers, recorder, STORAGES } from "./fixture.ts";

const LIMITS = { name: "events", maxSize: 2, maxWaitMs: 1000 };

function fail(): never {
  throw new Error("no luck");
}

describe.each(STORAGES)("retries on %s storage", (kind) => {
  test("exponential backoff doubles: 2 s, 4 s, 8 s, then the items are dead", async () => {
    const f = new Fixture(kind);
    const { deliveries, handler } = recorder<number>(f.clock, fail);
    const retries = { max: 3, strategy: "exponential", baseDelay: 2000 } as const;
    const { batch } = await f.started((bw) => bw.batch<number>({ ...LIMITS, retries, handler }));
    await f.run(batch.addBulk([1, 2]));
    await f.advance(60_000);
    expect(deliveries.map(({ at, attempt }) => [at, attempt])).toEqual([
      [0, 1],
      [2000, 2],
      [6000, 3],
      [14_000, 4],
    ]);
    expect(await f.run(batch.status())).toMatchObject({ retrying: 0, leased: 0, dead: 2 });
  });

  test("a fixed delay stays the same", async () => {
    const f = new Fixture(kind);
    const { deliveries, handler } = recorder<number>(f.clock, fail);
    const retries = { max: 3, strategy: "fixed", baseDelay: 500 } as const;
    const { batch } = await f.started((bw) => bw.batch<number>({ ...LIMITS, retries, handler }));
    await f.run(batch.addBulk([1, 2]));
    await f.advance(60_000);
    expect(deliveries.map(({ at }) => at)).toEqual([0, 500, 1000, 1500]);
  });

  test("no delay is longer than maxDelay", async () => {
    const f = new Fixture(kind);
    const { deliveries, handler } = recorder<number>(f.clock, fail);
    const retries = { max: 4, baseDelay: 1000, maxDelay: 3000 };
    const { batch } = await f.started((bw) => bw.batch<number>({ ...LIMITS, retries, handler }));
    await f.run(batch.addBulk([1, 2]));
    await f.advance(60_000);
    expect(deliveries.map(({ at }) => at)).toEqual([0, 1000, 3000, 6000, 9000]);
  });

  test("jitter takes the drawn share off the delay", async () => {
    const f = new Fixture(kind);
    const { deliveries, handler } = recorder<number>(f.clock, fail);
    const retries = { max: 2, baseDelay: 1000, jitter: 0.5 };
    const { process, batch } = await f.started((bw) =>
      bw.batch<number>({ ...LIMITS, retries, handler }),
    );
    process.clock.random = () => 0.5;
    await f.run(batch.addBulk([1, 2]));
    await f.advance(60_000);
    expect(deliveries.map(({ at }) => at)).toEqual([0, 750, 2250]);
  });

  test("without a retry policy there is one attempt", async () => {
    const f = new Fixture(kind);
    const { deliveries, handler } = recorder<number>(f.clock, fail);
    const { batch } = await f.started((bw) => bw.batch<number>({ ...LIMITS, handler }));
    await f.run(batch.addBulk([1, 2]));
    await f.advance(100_000);
    expect(deliveries).toHaveLength(1);
    expect(await f.run(batch.status())).toMatchObject({ dead: 2 });
  });

  test("every attempt has the same id and content, whatever the handler did to its array", async () => {
    const f = new Fixture(kind);
    const seen: string[] = [];
    const { batch } = await f.started((bw) =>
      bw.batch<{ n: number }>({
        ...LIMITS,
        retries: { max: 2, baseDelay: 10 },
        handler: ({ id, batch: items, itemIds, batchSize, createdAt, attempt }) => {
          seen.push(JSON.stringify({ id, items, itemIds, batchSize, createdAt }));
          for (const item of items) item.n = -1;
          items.reverse();
          items.push({ n: 99 });
          if (attempt < 3) throw new Error("once more");
        },
      }),
    );
    await f.run(batch.addBulk([{ n: 1 }, { n: 2 }]));
    await f.advance(1000);
    expect(seen).toHaveLength(3);
    expect(new Set(seen).size).toBe(1);
    expect(await f.run(batch.status())).toMatchObject({ dead: 0, retrying: 0 });
  });

  test("items that came meanwhile do not join a batch that is tried again", async () => {
    const f = new Fixture(kind);
    const { deliveries, handler } = recorder<number>(f.clock, ({ attempt }) => {
      if (attempt === 1) throw new Error("no luck");
    });
    const { batch } = await f.started((bw) =>
      bw.batch<number>({ ...LIMITS, maxSize: 10, retries: { max: 5, baseDelay: 3000 }, handler }),
    );
    await f.run(batch.addBulk([1, 2]));
    await f.advance(1000);
    await f.run(batch.addBulk([3, 4]));
    await f.advance(10_000);
    const items = deliveries.map((delivery) => delivery.items);
    expect(items).toEqual([
      [1, 2],
      [3, 4],
      [1, 2],
      [3, 4],
    ]);
    expect(deliveries[0]?.id).toBe(deliveries[2]?.id);
    expect(deliveries[1]?.id).toBe(deliveries[3]?.id);
  });

  test("a handler that throws at once, rejects later or throws nothing sensible has failed", async () => {
    const f = new Fixture(kind);
    const { batch: batches } = await f.started((bw) => [
      bw.batch<number>({ ...LIMITS, name: "throws", handler: fail }),
      bw.batch<number>({
        ...LIMITS,
        name: "rejects",
        handler: () => Promise.reject(new TypeError("later")),
      }),
      bw.batch<number>({
        ...LIMITS,
        name: "undefined",
        handler: async () => {
          const nothing: unknown = undefined;
          throw nothing;
        },
      }),
    ]);
    await f.run(Promise.all(batches.map((batch) => batch.add(1))));
    await f.advance(1000);
    const errors = await f.run(
      Promise.all(batches.map(async (batch) => (await batch.deadLetters.list())[0]?.error)),
    );
    expect(errors).toMatchObject([
      { name: "Error", message: "no luck" },
      { name: "TypeError", message: "later" },
      { name: "Error", message: "undefined" },
    ]);
  });

  test("a batch that backs off is tried on time by the next process, with its attempts", async () => {
    const f = new Fixture(kind);
    const one = recorder<number>(f.clock, fail);
    const options = { ...LIMITS, retries: { max: 2, baseDelay: 10_000 } };
    const first = await f.started((bw) => bw.batch<number>({ ...options, handler: one.handler }));
    await f.run(first.batch.addBulk([1, 2]));
    await f.advance(4000);
    await f.runFor(0, first.bw.stop());
    const two = recorder<number>(f.clock);
    await f.started((bw) => bw.batch<number>({ ...options, handler: two.handler }));
    await f.advance(5999);
    expect(two.deliveries).toEqual([]);
    await f.advance(1);
    const [delivery] = one.deliveries;
    expect(two.deliveries).toEqual([{ ...delivery, attempt: 2, at: 10_000 }]);
  });

  test("a batch that keeps failing does not hold up those behind it", async () => {
    const f = new Fixture(kind);
    const { deliveries, handler } = recorder<number>(f.clock, ({ batch: [item] }) => {
      if (item === 0) throw new Error("always");
    });
    const { batch } = await f.started((bw) =>
      bw.batch<number>({
        ...LIMITS,
        concurrency: 1,
        retries: { max: 1000, strategy: "fixed", baseDelay: 1 },
        handler,
      }),
    );
    await f.run(batch.addBulk(numbers(20)));
    await f.advance(100);
    const others = deliveries.filter(({ items }) => items[0] !== 0);
    expect(itemsOf(others)).toEqual(numbers(20).slice(2));
    expect(deliveries.length).toBeGreaterThan(50);
  });

  test("an error of many megabytes holds up none of the batches that end with it", async () => {
    const f = new Fixture(kind);
    const { deliveries, handler } = recorder<number>(f.clock, ({ batch: [item] }) => {
      if (item === 0) throw new Error("x".repeat(20_000_000));
    });
    const { batch } = await f.started((bw) => bw.batch<number>({ ...LIMITS, handler }));
    await f.run(batch.addBulk(numbers(10)));
    await f.advance(0);
    expect(deliveries).toHaveLength(5);
    expect(await f.run(batch.status())).toMatchObject({ waiting: 0, leased: 0, dead: 2 });
    const [letter] = await f.run(batch.deadLetters.list());
    expect(letter?.error.message.length).toBeLessThan(10_000);
  });
});
