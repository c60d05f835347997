/** `idempotencyKey`: an item is stored once, however often it is added. */
import { DatabaseSync } from "node:sqlite";

import { describe, expect, onTestFinished, test } from "vitest";

import type { BatchSettings } from "../../src/core/options.ts";
import type { Batch } from "../../src/runtime/accumulator.ts";
import type { Batchwork } from "../../src/runtime/engine.ts";
import type { AddResult } from "../../src/runtime/intake.ts";
import {
  Fixture,
  itemsOf,
  numbers,
  outcomeOf,
  recorder,
  STORAGES,
  type Delivery,
  type Process,
} from "./fixture.ts";

const LIMITS = { name: "orders", maxSize: 500, maxWaitMs: 1000 };

interface Orders {
  readonly f: Fixture;
  readonly deliveries: readonly Delivery<Order>[];
  readonly process: Process;
  readonly bw: Batchwork;
  readonly batch: Batch<Order>;
}

interface Order {
  readonly id: number;
  readonly note?: string;
}

describe.each(STORAGES)("idempotency keys on %s storage", (kind) => {
  async function orders(options: Partial<BatchSettings> = {}): Promise<Orders> {
    const f = new Fixture(kind);
    const { deliveries, handler } = recorder<Order>(f.clock);
    const { process, bw, batch } = await f.started((engine) =>
      engine.batch<Order>({ ...LIMITS, handler, ...options }),
    );
    return { f, deliveries, process, bw, batch };
  }

  test("a repeat stores nothing and answers with the first item's id", async () => {
    const { f, deliveries, batch } = await orders();
    const first = await f.run(batch.add({ id: 1 }, { idempotencyKey: "order 1" }));
    expect(first).toEqual({ id: expect.any(String) as unknown, duplicate: false });
    const repeat = await f.run(batch.add({ id: 1 }, { idempotencyKey: "order 1" }));
    expect(repeat).toEqual({ id: first.id, duplicate: true });
    await f.run(batch.add({ id: 2 }));
    await f.run(batch.flush());
    expect(itemsOf(deliveries)).toEqual([{ id: 1 }, { id: 2 }]);
    expect(deliveries[0]?.itemIds).toContain(first.id);
  });

  test("other content under a key is refused, and nothing of its call is stored", async () => {
    const { f, deliveries, batch } = await orders();
    await f.run(batch.add({ id: 1 }, { idempotencyKey: "order 1" }));
    const items = [{ id: 2 }, { id: 1, note: "changed" }, { id: 3 }];
    const refused = batch.addBulk(items, { idempotencyKey: ({ id }) => `order ${id}` });
    await expect(f.run(refused)).rejects.toMatchObject({
      code: "KEY_CONFLICT",
      field: "idempotencyKey",
      value: "order 1",
    });
    await f.run(batch.flush());
    expect(itemsOf(deliveries)).toEqual([{ id: 1 }]);
  });

  test("of two same keys in one call the second is a duplicate of the first", async () => {
    const { f, deliveries, batch } = await orders();
    const items = [{ id: 1 }, { id: 2 }, { id: 1 }, { id: 1 }];
    const bulk = { idempotencyKey: ({ id }: Order) => `order ${id}` };
    const results = await f.run(batch.addBulk(items, bulk));
    const [one, two] = results;
    expect(results.map(({ duplicate }) => duplicate)).toEqual([false, false, true, true]);
    expect(results.map(({ id }) => id)).toEqual([one?.id, two?.id, one?.id, one?.id]);
    const again = await f.run(batch.addBulk(items, bulk));
    expect(again).toEqual(results.map(({ id }) => ({ id, duplicate: true })));
    const other = batch.addBulk([{ id: 3 }, { id: 3, note: "other" }], bulk);
    expect(await outcomeOf(f.run(other))).toBe("KEY_CONFLICT");
    await f.run(batch.flush());
    expect(itemsOf(deliveries)).toEqual([{ id: 1 }, { id: 2 }]);
  });

  test("items whose key is undefined are stored each time", async () => {
    const { f, deliveries, batch } = await orders();
    const bulk = {
      idempotencyKey: (_order: Order, index: number) => (index === 1 ? "one" : undefined),
    };
    const items = [{ id: 0 }, { id: 1 }, { id: 2 }];
    await f.run(batch.addBulk(items, bulk));
    await f.run(batch.addBulk(items, bulk));
    await f.run(batch.add({ id: 9 }, { idempotencyKey: undefined }));
    await f.run(batch.flush());
    expect(itemsOf(deliveries).map(({ id }) => id)).toEqual([0, 1, 2, 0, 2, 9]);
  });

  test("keys of many callers at once: one wins, the others are told its id", async () => {
    const { f, deliveries, process, batch } = await orders();
    const adding = numbers(200).map((n) =>
      batch.add({ id: n % 10 }, { idempotencyKey: `order ${n % 10}` }),
    );
    const bulks = numbers(5).map((n) =>
      batch.addBulk(
        numbers(12).map((id) => ({ id: (id + n) % 12 })),
        { idempotencyKey: ({ id }) => `order ${id}` },
      ),
    );
    const other = batch.add({ id: 5, note: "other" }, { idempotencyKey: "order 5" });
    other.catch(() => undefined);
    const results = (
      await f.run(Promise.all([...adding.map(async (one) => [await one]), ...bulks]))
    ).flat();
    expect(results.filter(({ duplicate }) => !duplicate)).toHaveLength(12);
    expect(new Set(results.map(({ id }) => id)).size).toBe(12);
    expect(await outcomeOf(f.run(other))).toBe("KEY_CONFLICT");
    // The repeats that were the same in every respect asked the storage nothing.
    expect(process.count("appendKeyed")).toBeLessThan(12);
    await f.run(batch.flush());
    const ids = itemsOf(deliveries).map(({ id }) => id);
    expect(ids.toSorted((a, b) => a - b)).toEqual(numbers(12));
  });

  test("several processes add the same keys: each is stored once", async () => {
    const f = new Fixture(kind);
    const { deliveries, handler } = recorder<Order>(f.clock);
    const batches = numbers(3).map(() => f.process().bw.batch<Order>({ ...LIMITS, handler }));
    const results = await f.run(
      Promise.all(
        numbers(60).map(async (n) =>
          batches[n % 3]?.add({ id: n % 7 }, { idempotencyKey: `order ${n % 7}` }),
        ),
      ),
    );
    expect(results.filter((result) => result?.duplicate === false)).toHaveLength(7);
    const { batch } = await f.started((bw) => bw.batch<Order>({ ...LIMITS, handler }));
    await f.run(batch.flush());
    expect(itemsOf(deliveries)).toHaveLength(7);
  });

  test("a key is remembered for keyTtlMs after its item was done", async () => {
    const { f, deliveries, batch } = await orders({ keyTtlMs: 20_000 });
    const add = async (): Promise<boolean> =>
      (await f.run(batch.add({ id: 1 }, { idempotencyKey: "order 1" }))).duplicate;
    expect(await add()).toBe(false);
    await f.run(batch.flush());
    // It ends when that is stored, with one of the next looks.
    await f.advance(5000);
    await f.advance(14_000);
    expect(await add()).toBe(true);
    await f.advance(6000);
    expect(await add()).toBe(false);
    await f.run(batch.flush());
    expect(itemsOf(deliveries)).toEqual([{ id: 1 }, { id: 1 }]);
  });

  test("after STORAGE_FAILED the same add again stores the item exactly once", async () => {
    for (const fail of ["before", "after"] as const) {
      const { f, deliveries, process, batch } = await orders();
      process.faults = ({ method, nth }) =>
        method === "appendKeyed" && nth === 1 ? { fail } : undefined;
      const add = async (): Promise<unknown> =>
        outcomeOf(f.run(batch.add({ id: 1 }, { idempotencyKey: "order 1" })));
      expect(await add()).toBe("STORAGE_FAILED");
      expect(await add()).toBe("fulfilled");
      expect(await add()).toBe("fulfilled");
      await f.run(batch.flush());
      expect(itemsOf(deliveries), fail).toEqual([{ id: 1 }]);
    }
  });

  test("a bulk that failed is repeated whole, whatever of it was stored", async () => {
    const { f, deliveries, process, batch } = await orders();
    const items = numbers(700).map((id) => ({ id }));
    const bulk = { idempotencyKey: ({ id }: Order) => `order ${id}` };
    process.faults = ({ method, nth }) =>
      method === "appendKeyed" && nth < 3 ? { fail: nth === 1 ? "before" : "after" } : undefined;
    const outcomes = [];
    for (let n = 0; n < 3; n++) outcomes.push(await outcomeOf(f.run(batch.addBulk(items, bulk))));
    expect(outcomes).toEqual(["STORAGE_FAILED", "STORAGE_FAILED", "fulfilled"]);
    await f.run(batch.flush());
    expect(itemsOf(deliveries).map(({ id }) => id)).toEqual(numbers(700));
  });

  test("everybody who repeats an add under way shares its fate", async () => {
    const { f, process, batch } = await orders();
    process.faults = ({ method }) => (method === "appendKeyed" ? { fail: "before" } : undefined);
    const adding = numbers(3).map(async () =>
      outcomeOf(batch.add({ id: 1 }, { idempotencyKey: "order 1" })),
    );
    expect(await f.run(Promise.all(adding))).toEqual(numbers(3).map(() => "STORAGE_FAILED"));
    expect(process.count("appendKeyed")).toBe(1);
  });

  test("a retried, dead and redriven item keeps its key", async () => {
    const f = new Fixture(kind);
    let works = false;
    const { deliveries, handler } = recorder<Order>(f.clock, () => {
      if (!works) throw new Error("down");
    });
    const { batch } = await f.started((bw) =>
      bw.batch<Order>({ ...LIMITS, handler, retries: { max: 1, baseDelay: 100 } }),
    );
    const add = async (): Promise<AddResult> =>
      f.run(batch.add({ id: 1 }, { idempotencyKey: "order 1" }));
    const { id } = await add();
    await f.run(batch.flush());
    expect(await add()).toEqual({ id, duplicate: true });
    await f.advance(1000);
    expect(await f.run(batch.deadLetters.list())).toHaveLength(1);
    expect(await add()).toEqual({ id, duplicate: true });
    works = true;
    expect(await f.run(batch.deadLetters.redrive("all"))).toBe(1);
    await f.advance(1000);
    expect(deliveries).toHaveLength(3);
    expect((await add()).duplicate).toBe(true);
    await f.advance(5000);
    expect(deliveries).toHaveLength(3);
  });

  test("keys work in memory too, where adds do not wait for commits", async () => {
    const { f, deliveries, process, batch } = await orders({ persist: false });
    const first = await f.run(batch.add({ id: 1 }, { idempotencyKey: "order 1" }));
    expect(await f.run(batch.add({ id: 1 }, { idempotencyKey: "order 1" }))).toEqual({
      id: first.id,
      duplicate: true,
    });
    const other = batch.add({ id: 2 }, { idempotencyKey: "order 1" });
    expect(await outcomeOf(f.run(other))).toBe("KEY_CONFLICT");
    // There is no telling whether two functions are the same.
    const odd = batch.add((() => 1) as never, { idempotencyKey: "odd" });
    expect(await outcomeOf(f.run(odd))).toBe("ITEM_INVALID");
    await f.run(batch.flush());
    expect(itemsOf(deliveries)).toEqual([{ id: 1 }]);
    expect(process.count("appendKeyed")).toBe(0);
  });

  test("adds without a key touch nothing of this", async () => {
    const { f, process, batch } = await orders();
    await f.run(batch.addBulk([{ id: 1 }, { id: 2 }]));
    await f.run(batch.add({ id: 3 }, {}));
    await f.run(batch.flush());
    expect(process.count("appendKeyed")).toBe(0);
    expect(process.count("append")).toBe(2);
  });

  test.each([
    ["", "an empty one"],
    ["x".repeat(513), "one of 513"],
    ["\uD83D", "half a character"],
    ["a\0b", "NUL"],
    [7, "number"],
    [null, "null"],
  ])("%j is no key", async (key, problem) => {
    const { f, batch } = await orders();
    const options = { idempotencyKey: key as string };
    await expect(f.run(batch.add({ id: 1 }, options))).rejects.toMatchObject({
      code: "KEY_INVALID",
      field: "idempotencyKey",
      value: key,
      message: expect.stringContaining(problem) as unknown,
    });
    const bulk = batch.addBulk([{ id: 1 }, { id: 2 }], { idempotencyKey: () => key as string });
    expect(await outcomeOf(f.run(bulk))).toBe("KEY_INVALID");
    expect(await f.run(batch.getBufferSize())).toBe(0);
  });

  test("the longest key is one, and what throws inside the function is passed on", async () => {
    const { f, batch } = await orders();
    const key = "\u20AC".repeat(512);
    expect((await f.run(batch.add({ id: 1 }, { idempotencyKey: key }))).duplicate).toBe(false);
    expect((await f.run(batch.add({ id: 1 }, { idempotencyKey: key }))).duplicate).toBe(true);
    const failure = new RangeError("which key?");
    const bulk = batch.addBulk([{ id: 1 }], {
      idempotencyKey: () => {
        throw failure;
      },
    });
    expect(await outcomeOf(f.run(bulk))).toBe(failure);
  });

  test("limits of a call hold with keys, and no items is none", async () => {
    const { f, batch } = await orders();
    const bulk = { idempotencyKey: ({ id }: Order) => `order ${id}` };
    const many = numbers(10_001).map((id) => ({ id }));
    expect(await outcomeOf(f.run(batch.addBulk(many, bulk)))).toBe("CALL_TOO_LARGE");
    const large = numbers(17).map((id) => ({ id, note: "x".repeat(255 * 1024) }));
    expect(await outcomeOf(f.run(batch.addBulk(large, bulk)))).toBe("CALL_TOO_LARGE");
    expect(await f.run(batch.addBulk([], bulk))).toEqual([]);
    expect(await f.run(batch.getBufferSize())).toBe(0);
  });

  test("an add after stop is refused; what is under way still lands", async () => {
    const { f, process, bw, batch } = await orders();
    process.faults = ({ method }) => (method === "appendKeyed" ? { delayBeforeMs: 50 } : undefined);
    const adding = batch.add({ id: 1 }, { idempotencyKey: "order 1" });
    await f.clock.settle();
    const stopping = bw.stop();
    expect(await outcomeOf(batch.add({ id: 2 }, { idempotencyKey: "order 2" }))).toBe("STOPPED");
    await f.runFor(50, stopping);
    expect((await f.run(adding)).duplicate).toBe(false);
  });

  test("flush hands over what was added under a key just before it", async () => {
    const { f, deliveries, batch } = await orders();
    const adding = batch.add({ id: 1 }, { idempotencyKey: "order 1" });
    await f.run(batch.flush());
    await f.run(adding);
    expect(itemsOf(deliveries)).toEqual([{ id: 1 }]);
  });

  test("a full batch of keyed items runs at once", async () => {
    const f = new Fixture(kind);
    const { deliveries, handler } = recorder<Order>(f.clock);
    const { batch } = await f.started((bw) =>
      bw.batch<Order>({ ...LIMITS, maxSize: 3, maxWaitMs: 60_000, handler }),
    );
    const bulk = { idempotencyKey: ({ id }: Order) => `order ${id}` };
    await f.run(batch.addBulk([{ id: 0 }, { id: 1 }], bulk));
    await f.run(batch.addBulk([{ id: 0 }, { id: 1 }, { id: 2 }], bulk));
    await f.advance(1);
    expect(deliveries.map(({ items }) => items.length)).toEqual([3]);
  });

  test("inside ctx.tx the key is taken with the transaction", async () => {
    const f = new Fixture(kind);
    const { deliveries, handler } = recorder<Order>(f.clock);
    const process = f.process();
    const target = process.bw.batch<Order>({ ...LIMITS, handler });
    const found: unknown[] = [];
    let fails = true;
    const source = process.bw.batch<number>({
      name: "source",
      maxSize: 10,
      maxWaitMs: 0,
      retries: { max: 1, baseDelay: 10 },
      handler: async (ctx) =>
        ctx.tx((tx) => {
          found.push(target.addSync({ id: 1 }, { tx, idempotencyKey: "order 1" }));
          const bulk = { tx, idempotencyKey: ({ id }: Order) => `order ${id}` };
          found.push(...target.addBulkSync([{ id: 1 }, { id: 2 }], bulk));
          if (fails) throw new Error("not yet");
        }),
    });
    await f.run(process.bw.start());
    await f.run(source.add(1));
    await f.advance(0);
    const first = await f.run(target.add({ id: 2 }, { idempotencyKey: "order 2" }));
    expect(first.duplicate).toBe(false);
    fails = false;
    await f.advance(5000);
    expect(found.slice(3)).toEqual([
      { id: expect.any(String) as unknown, duplicate: false },
      { id: expect.any(String) as unknown, duplicate: true },
      { id: first.id, duplicate: true },
    ]);
    expect(itemsOf(deliveries).map(({ id }) => id)).toEqual([2, 1]);
  });
});

test("in a transaction of one's own the key is free again when it rolls back", async () => {
  const f = new Fixture("sqlite");
  const { deliveries, handler } = recorder<Order>(f.clock);
  const { batch } = await f.started((bw) => bw.batch<Order>({ ...LIMITS, handler }));
  const database = new DatabaseSync(f.file);
  onTestFinished(() => database.close());
  const options = { tx: database, idempotencyKey: "order 1" };
  database.exec("BEGIN IMMEDIATE");
  expect(batch.addSync({ id: 1 }, options).duplicate).toBe(false);
  expect(batch.addSync({ id: 1 }, options).duplicate).toBe(true);
  expect(() => batch.addSync({ id: 2 }, options)).toThrow(
    expect.objectContaining({ code: "KEY_CONFLICT" }),
  );
  database.exec("ROLLBACK");
  database.exec("BEGIN IMMEDIATE");
  expect((await f.run(batch.add({ id: 2 }, options))).duplicate).toBe(false);
  const bulk = { tx: database, idempotencyKey: ({ id }: Order) => `order ${id - 1}` };
  const more = await f.run(batch.addBulk([{ id: 2 }, { id: 3 }], bulk));
  expect(more.map(({ duplicate }) => duplicate)).toEqual([true, false]);
  expect(await f.run(batch.addBulk([], bulk))).toEqual([]);
  await f.run(batch.addBulk([{ id: 4 }], { tx: database }));
  database.exec("COMMIT");
  await f.runFor(1000, batch.flush());
  expect(itemsOf(deliveries)).toEqual([{ id: 2 }, { id: 3 }, { id: 4 }]);
});
