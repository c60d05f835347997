/** When the engine looks: at once in process, within `pollMs` across processes, and rarely in vain. */
import { describe, expect, test } from "vitest";

import { Fixture, Hold, itemsOf, numbers, recorder, STORAGES, forever } from "./fixture.ts";

const LIMITS = { name: "events", maxSize: 10, maxWaitMs: 60_000 };

describe.each(STORAGES)("waking up on %s storage", (kind) => {
  test("a batch that fills up in this process starts without any time passing", async () => {
    const f = new Fixture(kind);
    const { deliveries, handler } = recorder<number>(f.clock);
    const { batch } = await f.started((bw) => bw.batch<number>({ ...LIMITS, handler }), {
      pollMs: 3_600_000,
      tickIntervalMs: 3_600_000,
    });
    for (let n = 0; n < 100; n++) await f.run(batch.add(n));
    await f.advance(0);
    expect(itemsOf(deliveries)).toEqual(numbers(100));
  });

  test("also when a bulk has filled it before, and left some items behind", async () => {
    const f = new Fixture(kind);
    const { deliveries, handler } = recorder<number>(f.clock);
    const { batch } = await f.started((bw) => bw.batch<number>({ ...LIMITS, handler }), {
      pollMs: 3_600_000,
      tickIntervalMs: 3_600_000,
    });
    for (let n = 0; n < 60; n += 6) {
      await f.run(batch.addBulk(numbers(6).map((one) => n + one)));
      await f.advance(0);
      const added = n + 6;
      expect(itemsOf(deliveries)).toEqual(numbers(added - (added % LIMITS.maxSize)));
    }
  });

  test("also when items are added while a slow look is under way", async () => {
    const f = new Fixture(kind);
    const { deliveries, handler } = recorder<number>(f.clock);
    const { process, batch } = await f.started((bw) => bw.batch<number>({ ...LIMITS, handler }), {
      pollMs: 3_600_000,
      tickIntervalMs: 3_600_000,
    });
    process.faults = ({ method }) => (method === "exchange" ? { delayAfterMs: 10 } : undefined);
    for (let n = 0; n < 60; n += 3) {
      await f.run(batch.addBulk(numbers(3).map((one) => n + one)));
      await f.advance(4);
    }
    await f.advance(20);
    expect(itemsOf(deliveries)).toEqual(numbers(60));
  });

  test("items from before the start count too, within pollMs", async () => {
    const f = new Fixture(kind);
    const { deliveries, handler } = recorder<number>(f.clock);
    const first = f.process().bw.batch<number>({ ...LIMITS, handler });
    await f.run(first.addBulk(numbers(9)));
    const { batch } = await f.started((bw) => bw.batch<number>({ ...LIMITS, handler }), {
      pollMs: 40,
      tickIntervalMs: 3_600_000,
    });
    await f.advance(10_000);
    await f.run(batch.add(9));
    await f.advance(40);
    expect(itemsOf(deliveries)).toEqual(numbers(10));
  });

  test("a place that becomes free is filled without any time passing", async () => {
    const f = new Fixture(kind);
    const hold = new Hold();
    const { deliveries, handler } = recorder<number>(f.clock, () => hold.wait());
    const { batch } = await f.started(
      (bw) => bw.batch<number>({ ...LIMITS, concurrency: 3, handler }),
      { pollMs: 3_600_000, tickIntervalMs: 3_600_000 },
    );
    await f.run(batch.addBulk(numbers(60)));
    await f.advance(0);
    for (let n = 3; n <= 6; n++) {
      expect(deliveries).toHaveLength(n);
      hold.release();
      await f.advance(0);
    }
    expect(itemsOf(deliveries)).toEqual(numbers(60));
  });

  test("items are due on time without any help from the backstop", async () => {
    const f = new Fixture(kind);
    const { deliveries, handler } = recorder<number>(f.clock);
    const { batch } = await f.started((bw) => bw.batch<number>({ ...LIMITS, handler }), {
      pollMs: 3_600_000,
      tickIntervalMs: 3_600_000,
    });
    await f.run(batch.add(1));
    await f.advance(30_000);
    await f.run(batch.add(2));
    await f.advance(30_000);
    await f.run(batch.add(3));
    await f.advance(60_000);
    expect(deliveries.map(({ items, at }) => [items, at])).toEqual([
      [[1, 2], 60_000],
      [[3], 120_000],
    ]);
  });

  test("a batch that fills up in another process starts within pollMs", async () => {
    const f = new Fixture(kind);
    const { deliveries, handler } = recorder<number>(f.clock);
    const options = { tickIntervalMs: 3_600_000, pollMs: 40 };
    await f.started((bw) => bw.batch<number>({ ...LIMITS, handler }), options);
    // It adds and is never started.
    const adder = f.process().bw.batch<number>({ ...LIMITS, handler });
    await f.advance(1000);
    await f.run(adder.addBulk(numbers(10)));
    await f.advance(40);
    expect(itemsOf(deliveries)).toEqual(numbers(10));
  });

  test("items of another process are handed over when they are due", async () => {
    const f = new Fixture(kind);
    const { deliveries, handler } = recorder<number>(f.clock);
    const options = { tickIntervalMs: 3_600_000 };
    await f.started((bw) => bw.batch<number>({ ...LIMITS, handler }), options);
    const adder = f.process().bw.batch<number>({ ...LIMITS, handler });
    await f.run(adder.addBulk(numbers(3)));
    await f.advance(59_999);
    expect(deliveries).toEqual([]);
    await f.advance(1);
    expect(itemsOf(deliveries)).toEqual(numbers(3));
  });

  test("what a stopped process gave back is taken up within pollMs", async () => {
    const f = new Fixture(kind);
    const hold = new Hold();
    const one = recorder<number>(f.clock, () => forever());
    const two = recorder<number>(f.clock, () => hold.wait());
    const first = await f.started((bw) => bw.batch<number>({ ...LIMITS, handler: one.handler }));
    await f.run(first.batch.addBulk(numbers(10)));
    await f.advance(0);
    await f.started((bw) => bw.batch<number>({ ...LIMITS, handler: two.handler }), {
      tickIntervalMs: 3_600_000,
    });
    await f.advance(5000);
    await f.runFor(0, first.bw.stop({ graceMs: 0 }));
    await f.advance(50);
    expect(two.deliveries).toHaveLength(1);
    hold.releaseAll();
  });

  test("without any notice of other processes the backstop finds their work", async () => {
    const f = new Fixture(kind);
    const { deliveries, handler } = recorder<number>(f.clock);
    const storage = f.connect();
    storage.changed = () => false;
    await f.started((bw) => bw.batch<number>({ ...LIMITS, handler }), {
      storage,
      tickIntervalMs: 2000,
    });
    const adder = f.process().bw.batch<number>({ ...LIMITS, handler });
    await f.run(adder.addBulk(numbers(10)));
    await f.advance(1000);
    expect(deliveries).toEqual([]);
    await f.advance(1000);
    expect(itemsOf(deliveries)).toEqual(numbers(10));
  });

  test("an idle engine looks once per tickIntervalMs, not more", async () => {
    const f = new Fixture(kind);
    const { handler } = recorder<number>(f.clock);
    const { process } = await f.started((bw) => bw.batch<number>({ ...LIMITS, handler }), {
      tickIntervalMs: 1000,
    });
    await f.advance(60_000);
    expect(process.count("exchange")).toBeGreaterThanOrEqual(55);
    expect(process.count("exchange")).toBeLessThanOrEqual(80);
  });

  test("two idle engines do not wake each other", async () => {
    const f = new Fixture(kind);
    const { handler } = recorder<number>(f.clock);
    const one = await f.started((bw) => bw.batch<number>({ ...LIMITS, handler }));
    const two = await f.started((bw) => bw.batch<number>({ ...LIMITS, handler }));
    await f.run(one.batch.add(1));
    await f.advance(50_000);
    for (const { process } of [one, two]) expect(process.count("exchange")).toBeLessThan(100);
  });

  test("a batch without a free place does not keep the loop busy", async () => {
    const f = new Fixture(kind);
    const hold = new Hold();
    const { handler } = recorder<number>(f.clock, () => hold.wait());
    const { process, batch } = await f.started((bw) => {
      bw.batch<number>({ ...LIMITS, name: "idle", handler });
      return bw.batch<number>({ ...LIMITS, concurrency: 1, handler });
    });
    await f.run(batch.addBulk(numbers(100)));
    await f.advance(60_000);
    expect(process.count("exchange")).toBeLessThan(100);
    hold.releaseAll();
  });

  test("a group at its limit, with a backlog, does not keep the loop busy", async () => {
    const f = new Fixture(kind);
    const hold = new Hold();
    const { handler } = recorder<number>(f.clock, () => hold.wait());
    const { process, batch } = await f.started((bw) =>
      bw.batch<number>({ ...LIMITS, groupBy: () => "g", handler }),
    );
    await f.run(batch.addBulk(numbers(100)));
    await f.advance(60_000);
    expect(process.count("exchange")).toBeLessThan(100);
    hold.releaseAll();
  });

  test("adding costs no look at the storage until something is due", async () => {
    const f = new Fixture(kind);
    const { handler } = recorder<number>(f.clock);
    const { process, batch } = await f.started((bw) =>
      bw.batch<number>({ ...LIMITS, maxSize: 100_000, handler }),
    );
    await f.advance(0);
    for (let n = 0; n < 400; n++) {
      await f.run(batch.add(n));
      await f.advance(25);
    }
    // Ten seconds: the backstop alone looks.
    expect(process.count("exchange")).toBeLessThanOrEqual(15);
  });
});
