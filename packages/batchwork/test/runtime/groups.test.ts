/** Groups: who goes with whom, in which order, and how many at a time. */
import { describe, expect, test } from "vitest";

import { GROUP_KEY_CHARACTERS_MAX } from "../../src/core/limits.ts";
import { Fixture, Hold, itemsOf, numbers, recorder, STORAGES, ascending } from "./fixture.ts";

const LIMITS = { name: "events", maxSize: 10, maxWaitMs: 1000 };

interface Item {
  readonly group: string;
  readonly n: number;
}

function itemsFor(group: string, count: number): Item[] {
  return numbers(count).map((n) => ({ group, n }));
}

describe.each(STORAGES)("groups on %s storage", (kind) => {
  test("a batch holds items of one group, and ctx.groupKey names it", async () => {
    const f = new Fixture(kind);
    const { deliveries, handler } = recorder<Item>(f.clock);
    const { batch } = await f.started((bw) =>
      bw.batch<Item>({ ...LIMITS, groupBy: ({ group }) => group, handler }),
    );
    const items = numbers(30).map((n) => ({ group: `g${n % 4}`, n }));
    await f.run(Promise.all(items.map((item) => batch.add(item))));
    await f.advance(1000);
    for (const group of ["g0", "g1", "g2", "g3"]) {
      const own = deliveries.filter(({ groupKey }) => groupKey === group);
      expect(itemsOf(own)).toEqual(items.filter((item) => item.group === group));
    }
    expect(itemsOf(deliveries)).toHaveLength(30);
  });

  test("without groupBy there is no group key", async () => {
    const f = new Fixture(kind);
    const { deliveries, handler } = recorder<number>(f.clock);
    const { batch } = await f.started((bw) => bw.batch<number>({ ...LIMITS, handler }));
    await f.run(batch.add(1));
    await f.advance(1000);
    expect(deliveries).toMatchObject([{ items: [1], groupKey: undefined }]);
  });

  test("each group fills up for itself", async () => {
    const f = new Fixture(kind);
    const { deliveries, handler } = recorder<Item>(f.clock);
    const { batch } = await f.started((bw) =>
      bw.batch<Item>({ ...LIMITS, groupBy: ({ group }) => group, handler }),
    );
    await f.run(batch.addBulk([...itemsFor("a", 9), ...itemsFor("b", 9)]));
    await f.advance(0);
    expect(deliveries).toEqual([]);
    await f.run(batch.add({ group: "b", n: 9 }));
    await f.advance(0);
    expect(deliveries.map(({ groupKey }) => groupKey)).toEqual(["b"]);
  });

  test("the batches of a group run one after another, in order; other groups run beside it", async () => {
    const f = new Fixture(kind);
    const hold = new Hold();
    const { deliveries, handler } = recorder<Item>(f.clock, () => hold.wait());
    const { batch } = await f.started((bw) =>
      bw.batch<Item>({ ...LIMITS, groupBy: ({ group }) => group, handler }),
    );
    await f.run(batch.addBulk([...itemsFor("a", 30), ...itemsFor("b", 10)]));
    await f.advance(5000);
    expect(deliveries.map(({ groupKey }) => groupKey).toSorted(ascending)).toEqual(["a", "b"]);
    hold.releaseAll();
    await f.advance(0);
    const own = deliveries.filter(({ groupKey }) => groupKey === "a");
    expect(itemsOf(own)).toEqual(itemsFor("a", 30));
  });

  test("groupConcurrency lets so many batches of a group run at a time", async () => {
    const f = new Fixture(kind);
    const hold = new Hold();
    const { deliveries, handler } = recorder<Item>(f.clock, () => hold.wait());
    const { batch } = await f.started((bw) =>
      bw.batch<Item>({ ...LIMITS, groupBy: ({ group }) => group, groupConcurrency: 2, handler }),
    );
    await f.run(batch.addBulk(itemsFor("a", 40)));
    await f.advance(5000);
    expect(deliveries).toHaveLength(2);
    hold.release();
    await f.advance(0);
    expect(deliveries).toHaveLength(3);
  });

  test("groupConcurrency holds over all processes", async () => {
    const f = new Fixture(kind);
    const hold = new Hold();
    const { deliveries, handler } = recorder<Item>(f.clock, () => hold.wait());
    const options = { ...LIMITS, groupBy: ({ group }: Item) => group, handler };
    const { batch } = await f.started((bw) => bw.batch<Item>(options));
    await f.started((bw) => bw.batch<Item>(options));
    await f.run(batch.addBulk([...itemsFor("a", 30), ...itemsFor("b", 30)]));
    await f.advance(5000);
    expect(deliveries.map(({ groupKey }) => groupKey).toSorted(ascending)).toEqual(["a", "b"]);
  });

  test("groupConcurrency needs groupBy", () => {
    const f = new Fixture(kind);
    const { handler } = recorder<number>(f.clock);
    const { bw } = f.process();
    expect(() => bw.batch<number>({ ...LIMITS, groupConcurrency: 2, handler })).toThrow(
      expect.objectContaining({ code: "OPTION_INVALID", field: "groupConcurrency" }),
    );
  });

  test("five batches run at a time unless said otherwise", async () => {
    const f = new Fixture(kind);
    const hold = new Hold();
    const { deliveries, handler } = recorder<number>(f.clock, () => hold.wait());
    const { batch } = await f.started((bw) => bw.batch<number>({ ...LIMITS, handler }));
    await f.run(batch.addBulk(numbers(100)));
    await f.advance(5000);
    expect(deliveries).toHaveLength(5);
    hold.release();
    await f.advance(0);
    expect(deliveries).toHaveLength(6);
  });

  test("concurrency is set for the engine, and for a batch against it", async () => {
    const f = new Fixture(kind);
    const hold = new Hold();
    const one = recorder<number>(f.clock, () => hold.wait());
    const two = recorder<number>(f.clock, () => hold.wait());
    const { batch } = await f.started(
      (bw) => [
        bw.batch<number>({ ...LIMITS, name: "one", handler: one.handler }),
        bw.batch<number>({ ...LIMITS, name: "two", concurrency: 7, handler: two.handler }),
      ],
      { concurrency: 3 },
    );
    await f.run(Promise.all(batch.map((each) => each.addBulk(numbers(100)))));
    await f.advance(0);
    expect([one.deliveries.length, two.deliveries.length]).toEqual([3, 7]);
  });

  test("no group waits behind the backlog of another", async () => {
    const f = new Fixture(kind);
    const hold = new Hold();
    const { deliveries, handler } = recorder<Item>(f.clock, () => hold.wait());
    const { batch } = await f.started((bw) =>
      bw.batch<Item>({ ...LIMITS, groupBy: ({ group }) => group, concurrency: 1, handler }),
    );
    await f.run(batch.addBulk(itemsFor("large", 1000)));
    await f.advance(0);
    await f.run(batch.addBulk([...itemsFor("small", 10), ...itemsFor("late", 1)]));
    await f.advance(1000);
    for (let n = 0; n < 3; n++) {
      hold.release();
      await f.advance(1);
    }
    // 98 batches of the large group still wait.
    const keys = deliveries.map(({ groupKey }) => groupKey);
    expect(keys.toSorted(ascending)).toEqual(["large", "large", "late", "small"]);
  });

  test("a batch that backs off does not block its group", async () => {
    const f = new Fixture(kind);
    const { deliveries, handler } = recorder<Item>(f.clock, ({ attempt, batch: [item] }) => {
      if (attempt === 1 && item?.n === 0) throw new Error("not yet");
    });
    const { batch } = await f.started((bw) =>
      bw.batch<Item>({
        ...LIMITS,
        groupBy: ({ group }) => group,
        retries: { max: 1, baseDelay: 60_000 },
        handler,
      }),
    );
    await f.run(batch.addBulk(itemsFor("a", 30)));
    await f.advance(0);
    expect(deliveries.map(({ items }) => items[0]?.n)).toEqual([0, 10, 20]);
    await f.advance(60_000);
    expect(deliveries.map(({ items }) => items[0]?.n)).toEqual([0, 10, 20, 0]);
  });

  test("names that begin alike do not mix", async () => {
    const f = new Fixture(kind);
    const names = ["orders", "orders:eu", "orders:eu:1", "orders.eu", "Orders"];
    const { deliveries, handler } = recorder<string>(f.clock, ({ name, batch: items }) => {
      expect(items).toEqual([name]);
    });
    const { batch: batches } = await f.started((bw) =>
      names.map((name) =>
        bw.batch<string>({ ...LIMITS, name, groupBy: () => "eu", retries: { max: 0 }, handler }),
      ),
    );
    await f.run(Promise.all(batches.map((batch) => batch.add(batch.name))));
    await f.run(batches[0]?.flush() as Promise<void>);
    expect(itemsOf(deliveries)).toEqual(["orders"]);
    await f.advance(1000);
    expect(itemsOf(deliveries).toSorted(ascending)).toEqual(names.toSorted(ascending));
    for (const batch of batches) {
      expect(await f.run(batch.status())).toMatchObject({ waiting: 0, dead: 0, leased: 0 });
    }
  });

  test("any well-formed string is a group, and no two of them are the same", async () => {
    const f = new Fixture(kind);
    const keys = [
      "",
      ":",
      "::",
      "a",
      "A",
      "a ",
      "a:b",
      "__proto__",
      "constructor",
      "\u0000",
      "a\u0000b",
      "é",
      "e\u0301",
      "☃️",
      "'; DROP TABLE batches; --",
      "%",
      "1",
      "1.0",
      "null",
      "x".repeat(GROUP_KEY_CHARACTERS_MAX),
    ];
    const { deliveries, handler } = recorder<string>(f.clock);
    const { batch } = await f.started((bw) =>
      bw.batch<string>({ ...LIMITS, maxSize: 2, groupBy: (key) => key, handler }),
    );
    await f.run(batch.addBulk(keys));
    expect((await f.run(batch.status())).groups).toBe(keys.length);
    for (const key of keys) expect(await f.run(batch.getBufferSize(key))).toBe(1);
    await f.run(batch.flush());
    expect(deliveries.map(({ groupKey }) => groupKey).toSorted(ascending)).toEqual(
      keys.toSorted(ascending),
    );
    for (const { items, groupKey } of deliveries) expect(items).toEqual([groupKey]);
  });

  test("a group key that cannot be kept is refused", async () => {
    const f = new Fixture(kind);
    const { handler } = recorder(f.clock);
    const { batch } = await f.started((bw) =>
      bw.batch<unknown>({ ...LIMITS, groupBy: (key) => key as string, handler }),
    );
    const refused = [1, undefined, null, "x".repeat(GROUP_KEY_CHARACTERS_MAX + 1), "\uD800"];
    for (const key of refused) {
      await expect(f.run(batch.add(key))).rejects.toMatchObject({
        code: "ITEM_INVALID",
        field: "groupBy",
        value: key,
      });
    }
    expect(await f.run(batch.getBufferSize())).toBe(0);
  });

  test("a groupBy that throws refuses the item with its own error", async () => {
    const f = new Fixture(kind);
    const { handler } = recorder<number>(f.clock);
    const { batch } = await f.started((bw) =>
      bw.batch<number>({
        ...LIMITS,
        groupBy: () => {
          throw new TypeError("no tenant");
        },
        handler,
      }),
    );
    await expect(f.run(batch.add(1))).rejects.toThrow("no tenant");
    expect(await f.run(batch.getBufferSize())).toBe(0);
  });
});
