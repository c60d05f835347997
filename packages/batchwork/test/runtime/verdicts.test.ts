/** Verdicts on single items, and finding the items that break a batch. */
import { describe, expect, test } from "vitest";

import { Fixture, itemsOf, numbers, recorder, STORAGES, ascending } from "./fixture.ts";

const LIMITS = { name: "events", maxSize: 5, maxWaitMs: 1000 };

describe.each(STORAGES)("ctx.fail on %s storage", (kind) => {
  test("only the named items go on, as a new batch with the next attempt", async () => {
    const f = new Fixture(kind);
    const { deliveries, handler } = recorder<number>(f.clock, (ctx) => {
      if (ctx.attempt > 1) return;
      ctx.fail(3, new Error("late"));
      ctx.fail(1, new Error("early"));
    });
    const { batch } = await f.started((bw) =>
      bw.batch<number>({ ...LIMITS, retries: { max: 1, baseDelay: 2000 }, handler }),
    );
    await f.run(batch.addBulk(numbers(5)));
    await f.advance(60_000);
    const [whole, rest] = deliveries;
    expect(deliveries).toMatchObject([
      { items: numbers(5), attempt: 1, at: 0 },
      { items: [1, 3], attempt: 2, at: 2000 },
    ]);
    expect(rest?.id).not.toBe(whole?.id);
    expect(rest?.itemIds).toEqual([whole?.itemIds[1], whole?.itemIds[3]]);
    expect(await f.run(batch.status())).toMatchObject({ retrying: 0, dead: 0 });
  });

  test("when all items are named, the batch is tried again under its own id", async () => {
    const f = new Fixture(kind);
    const { deliveries, handler } = recorder<number>(f.clock, (ctx) => {
      if (ctx.attempt === 1) for (const index of numbers(5)) ctx.fail(index, new Error("all"));
    });
    const { batch } = await f.started((bw) =>
      bw.batch<number>({ ...LIMITS, retries: { max: 1 }, handler }),
    );
    await f.run(batch.addBulk(numbers(5)));
    await f.advance(60_000);
    expect(deliveries).toHaveLength(2);
    expect(deliveries[1]).toEqual({ ...deliveries[0], attempt: 2, at: 1000 });
  });

  test("named items that are out of attempts die with their own errors; the others are done", async () => {
    const f = new Fixture(kind);
    const { deliveries, handler } = recorder<number>(f.clock, (ctx) => {
      ctx.fail(1, new Error("first"));
      ctx.fail(4, new TypeError("second"));
    });
    const { batch } = await f.started((bw) => bw.batch<number>({ ...LIMITS, handler }));
    await f.run(batch.addBulk(numbers(5)));
    await f.advance(60_000);
    expect(deliveries).toHaveLength(1);
    expect(await f.run(batch.deadLetters.list())).toMatchObject([
      { item: 1, error: { name: "Error", message: "first" }, attempts: 1 },
      { item: 4, error: { name: "TypeError", message: "second" }, attempts: 1 },
    ]);
  });

  test("a throw fails every item, and those that were named keep their own error", async () => {
    const f = new Fixture(kind);
    const { handler } = recorder<number>(f.clock, (ctx) => {
      ctx.fail(0, new Error("named"));
      throw new Error("thrown");
    });
    const { batch } = await f.started((bw) => bw.batch<number>({ ...LIMITS, handler }));
    await f.run(batch.addBulk([7, 8]));
    await f.advance(1000);
    expect(await f.run(batch.deadLetters.list())).toMatchObject([
      { item: 7, error: { message: "named" } },
      { item: 8, error: { message: "thrown" } },
    ]);
  });

  test("an index outside the batch is refused", async () => {
    const f = new Fixture(kind);
    const codes: unknown[] = [];
    const { batch } = await f.started((bw) =>
      bw.batch<number>({
        ...LIMITS,
        handler: (ctx) => {
          for (const index of [-1, 5, 0.5, Number.NaN]) {
            try {
              ctx.fail(index, new Error("where"));
            } catch (error) {
              codes.push((error as { code: unknown }).code);
            }
          }
        },
      }),
    );
    await f.run(batch.addBulk(numbers(5)));
    await f.advance(0);
    expect(codes).toEqual(Array.from({ length: 4 }, () => "OPTION_INVALID"));
    expect(await f.run(batch.status())).toMatchObject({ dead: 0, retrying: 0, leased: 0 });
  });
});

describe.each(STORAGES)("bisecting on %s storage", (kind) => {
  test("one poison item in 1,000 costs about 2·log2(1,000) calls, and 999 get through", async () => {
    const f = new Fixture(kind);
    const done: number[] = [];
    const { deliveries, handler } = recorder<number>(f.clock, ({ batch: items }) => {
      if (items.includes(137)) throw new Error("poison");
      done.push(...items);
    });
    const { batch } = await f.started((bw) =>
      bw.batch<number>({
        ...LIMITS,
        maxSize: 1000,
        onFailure: "bisect",
        retries: { max: 2, baseDelay: 1000 },
        handler,
      }),
    );
    await f.run(batch.addBulk(numbers(1000)));
    await f.advance(60_000);
    expect(done.toSorted((a, b) => a - b)).toEqual(numbers(1000).filter((n) => n !== 137));
    // The whole, two halves on each of at most ten levels, and two retries of the single item.
    expect(deliveries.length).toBeLessThanOrEqual(1 + 2 * 10 + 2);
    expect(await f.run(batch.deadLetters.list())).toMatchObject([
      { item: 137, attempts: 3, error: { message: "poison" } },
    ]);
  });

  test("cutting takes no time and no attempt; the single item then has its backoff", async () => {
    const f = new Fixture(kind);
    const { deliveries, handler } = recorder<number>(f.clock, ({ batch: items }) => {
      if (items.includes(1)) throw new Error("poison");
    });
    const { batch } = await f.started((bw) =>
      bw.batch<number>({
        ...LIMITS,
        maxSize: 4,
        onFailure: "bisect",
        retries: { max: 2, baseDelay: 1000 },
        handler,
      }),
    );
    await f.run(batch.addBulk(numbers(4)));
    await f.advance(60_000);
    const calls = deliveries.map(
      ({ items, attempt, at }) => `${items.join(",")} #${attempt} ${at}`,
    );
    expect(calls.toSorted(ascending)).toEqual(
      [
        "0,1,2,3 #1 0",
        "0,1 #1 0",
        "2,3 #1 0",
        "0 #1 0",
        "1 #1 0",
        "1 #2 1000",
        "1 #3 3000",
      ].toSorted(ascending),
    );
    expect(new Set(deliveries.map(({ id }) => id)).size).toBe(5);
  });

  test("items that were named use up the attempt; the others go on at once", async () => {
    const f = new Fixture(kind);
    const { deliveries, handler } = recorder<number>(f.clock, (ctx) => {
      if (ctx.batchSize < 5) return;
      ctx.fail(2, new Error("this one"));
      throw new Error("thrown");
    });
    const { batch } = await f.started((bw) =>
      bw.batch<number>({
        ...LIMITS,
        onFailure: "bisect",
        retries: { max: 1, baseDelay: 1000 },
        handler,
      }),
    );
    await f.run(batch.addBulk(numbers(5)));
    await f.advance(60_000);
    expect(deliveries).toMatchObject([
      { items: numbers(5), attempt: 1, at: 0 },
      { items: [0, 1, 3, 4], attempt: 1, at: 0 },
      { items: [2], attempt: 2, at: 1000 },
    ]);
  });

  test("without bisecting, one poison item takes its whole batch along", async () => {
    const f = new Fixture(kind);
    const { deliveries, handler } = recorder<number>(f.clock, ({ batch: items }) => {
      if (items.includes(1)) throw new Error("poison");
    });
    const { batch } = await f.started((bw) => bw.batch<number>({ ...LIMITS, handler }));
    await f.run(batch.addBulk(numbers(5)));
    await f.advance(60_000);
    expect(itemsOf(deliveries)).toEqual(numbers(5));
    expect(await f.run(batch.status())).toMatchObject({ dead: 5 });
  });
});
