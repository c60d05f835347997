/** `pause`, `resume` and `drain`. */
import { describe, expect, test } from "vitest";

import type { Batch } from "../../src/runtime/accumulator.ts";
import type { Batchwork } from "../../src/runtime/engine.ts";
import { Fixture, Hold, itemsOf, numbers, recorder, STORAGES, ascending } from "./fixture.ts";

const LIMITS = { name: "events", maxSize: 2, maxWaitMs: 1000 };

describe.each(STORAGES)("pause on %s storage", (kind) => {
  test("adds still land, nothing is handed over, and resume hands it all over", async () => {
    const f = new Fixture(kind);
    const { deliveries, handler } = recorder<number>(f.clock);
    const { batch } = await f.started((bw) => bw.batch<number>({ ...LIMITS, handler }));
    await f.run(batch.pause());
    await f.run(batch.addBulk(numbers(5)));
    await f.advance(60_000);
    expect(deliveries).toEqual([]);
    expect(await f.run(batch.status())).toMatchObject({ paused: true, waiting: 5 });
    await f.run(batch.resume());
    await f.advance(0);
    expect(itemsOf(deliveries).toSorted(ascending)).toEqual(numbers(5));
    expect(await f.run(batch.status())).toMatchObject({ paused: false, waiting: 0 });
  });

  test("an hour of pause ends in few full batches, not in many small ones", async () => {
    const f = new Fixture(kind);
    const { deliveries, handler } = recorder<number>(f.clock);
    const { batch } = await f.started((bw) =>
      bw.batch<number>({ ...LIMITS, maxSize: 100, handler }),
    );
    await f.run(batch.pause());
    for (let n = 0; n < 30; n++) {
      await f.run(batch.add(n));
      await f.advance(1500);
    }
    await f.run(batch.resume());
    await f.advance(0);
    expect(deliveries.map(({ items }) => items)).toEqual([numbers(30)]);
  });

  test("it survives a restart, and so does resume", async () => {
    const f = new Fixture(kind);
    const { deliveries, handler } = recorder<number>(f.clock);
    const define = (bw: Batchwork): Batch<number> => bw.batch<number>({ ...LIMITS, handler });
    const first = await f.started(define);
    await f.run(first.batch.pause());
    await f.run(first.batch.add(1));
    await f.runFor(0, first.bw.stop());
    const second = await f.started(define);
    await f.advance(10_000);
    expect(deliveries).toEqual([]);
    expect(await f.run(second.batch.status())).toMatchObject({ paused: true, waiting: 1 });
    await f.run(second.batch.resume());
    await f.runFor(0, second.bw.stop());
    await f.started(define);
    await f.advance(10_000);
    expect(itemsOf(deliveries)).toEqual([1]);
  });

  test("it holds in every process from the next claim on, and so does resume", async () => {
    const f = new Fixture(kind);
    const { deliveries, handler } = recorder<number>(f.clock);
    const first = await f.started((bw) => bw.batch<number>({ ...LIMITS, handler }));
    const adder = f.process().bw.batch<number>({ ...LIMITS, handler });
    await f.run(adder.pause());
    await f.run(first.batch.addBulk(numbers(4)));
    await f.advance(10_000);
    expect(deliveries).toEqual([]);
    await f.run(adder.resume());
    await f.advance(50);
    expect(itemsOf(deliveries)).toEqual(numbers(4));
  });

  test("what runs goes on to its end; what failed waits", async () => {
    const f = new Fixture(kind);
    const hold = new Hold();
    const { deliveries, handler } = recorder<number>(f.clock, async ({ attempt, batch: items }) => {
      if (attempt === 1) await hold.wait();
      if (attempt === 1 && items.includes(0)) throw new Error("not yet");
    });
    const { batch } = await f.started((bw) =>
      bw.batch<number>({ ...LIMITS, retries: { max: 1 }, handler }),
    );
    await f.run(batch.addBulk(numbers(4)));
    await f.advance(0);
    await f.run(batch.pause());
    hold.releaseAll();
    await f.advance(30_000);
    expect(await f.run(batch.status())).toMatchObject({ leased: 0, retrying: 1 });
    expect(deliveries).toHaveLength(2);
    await f.run(batch.resume());
    await f.advance(0);
    expect(deliveries).toHaveLength(3);
  });

  test("a pause and a resume while a batch runs start no second run of it", async () => {
    const f = new Fixture(kind);
    const hold = new Hold();
    const { deliveries, handler } = recorder<number>(f.clock, async () => hold.wait());
    const { batch } = await f.started((bw) => bw.batch<number>({ ...LIMITS, handler }));
    await f.run(batch.addBulk(numbers(2)));
    await f.advance(0);
    for (let n = 0; n < 3; n++) {
      await f.run(batch.pause());
      await f.run(batch.resume());
      await f.advance(10_000);
    }
    hold.releaseAll();
    await f.advance(60_000);
    expect(deliveries.map(({ items }) => items)).toEqual([numbers(2)]);
    expect(await f.run(batch.status())).toMatchObject({ leased: 0, retrying: 0, waiting: 0 });
  });

  test("other batches of the engine are not paused", async () => {
    const f = new Fixture(kind);
    const { deliveries, handler } = recorder<string>(f.clock);
    const { batch: batches } = await f.started((bw) =>
      ["a", "b"].map((name) => bw.batch<string>({ ...LIMITS, name, handler })),
    );
    await f.run(batches[0]?.pause() as Promise<void>);
    await f.run(Promise.all(batches.map((batch) => batch.add(batch.name))));
    await f.advance(5000);
    expect(itemsOf(deliveries)).toEqual(["b"]);
  });
});

describe.each(STORAGES)("drain on %s storage", (kind) => {
  test("it waits until each item succeeded or is dead, and then pauses", async () => {
    const f = new Fixture(kind);
    const { deliveries, handler } = recorder<number>(f.clock, ({ batch: items, attempt }) => {
      if (items.includes(0)) throw new Error("never");
      if (attempt === 1) throw new Error("not yet");
    });
    const { batch } = await f.started((bw) =>
      bw.batch<number>({ ...LIMITS, retries: { max: 2, baseDelay: 10_000 }, handler }),
    );
    await f.run(batch.addBulk(numbers(5)));
    const draining = batch.drain();
    await f.advance(29_999);
    expect(await f.isPending(draining)).toBe(true);
    await f.runFor(1, draining);
    expect(await f.run(batch.status())).toMatchObject({
      paused: true,
      waiting: 0,
      retrying: 0,
      leased: 0,
      dead: 2,
    });
    expect(deliveries.at(-1)).toMatchObject({ attempt: 3, at: 30_000 });
  });

  test("items that are added later stay", async () => {
    const f = new Fixture(kind);
    const hold = new Hold();
    const { deliveries, handler } = recorder<string>(f.clock, () => hold.wait());
    const { batch } = await f.started((bw) =>
      bw.batch<string>({ ...LIMITS, maxWaitMs: 60_000, handler }),
    );
    await f.run(batch.addBulk(["a", "b", "c"]));
    const draining = batch.drain();
    await f.advance(100);
    await f.run(batch.add("later"));
    hold.releaseAll();
    await f.run(draining);
    await f.advance(600_000);
    expect(itemsOf(deliveries).toSorted(ascending)).toEqual(["a", "b", "c"]);
    expect(await f.run(batch.status())).toMatchObject({ paused: true, waiting: 1 });
  });

  test("it waits for what other processes run", async () => {
    const f = new Fixture(kind);
    const hold = new Hold();
    const { handler } = recorder<number>(f.clock, () => hold.wait());
    const first = await f.started((bw) => bw.batch<number>({ ...LIMITS, handler }));
    await f.run(first.batch.addBulk(numbers(2)));
    await f.advance(0);
    const second = await f.started((bw) => bw.batch<number>({ ...LIMITS, handler }));
    const draining = second.batch.drain();
    await f.advance(5000);
    expect(await f.isPending(draining)).toBe(true);
    hold.releaseAll();
    await f.runFor(50, draining);
    expect(await f.run(first.batch.status())).toMatchObject({ paused: true, leased: 0 });
  });

  test("draining nothing pauses at once", async () => {
    const f = new Fixture(kind);
    const { handler } = recorder<number>(f.clock);
    const { batch } = await f.started((bw) => bw.batch<number>({ ...LIMITS, handler }));
    await f.run(batch.drain());
    expect(await f.run(batch.status())).toMatchObject({ paused: true });
  });
});
