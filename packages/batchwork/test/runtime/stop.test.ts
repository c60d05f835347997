/** `stop()`: what is waited for, what is given back, and what is left behind. */
import { describe, expect, test } from "vitest";

import {
  Fixture,
  Hold,
  itemsOf,
  numbers,
  recorder,
  STORAGES,
  forever,
  ascending,
} from "./fixture.ts";

const LIMITS = { name: "events", maxSize: 2, maxWaitMs: 1000 };

describe.each(STORAGES)("stop on %s storage", (kind) => {
  test("it waits for the handlers that run, keeps their verdicts, and claims nothing new", async () => {
    const f = new Fixture(kind);
    const hold = new Hold();
    const { deliveries, handler } = recorder<number>(f.clock, () => hold.wait());
    const { bw, batch } = await f.started((bw) =>
      bw.batch<number>({ ...LIMITS, concurrency: 2, handler }),
    );
    await f.run(batch.addBulk(numbers(8)));
    await f.advance(0);
    const stopping = bw.stop();
    await f.advance(20_000);
    expect(await f.isPending(stopping)).toBe(true);
    hold.releaseAll();
    await f.run(stopping);
    expect(deliveries).toHaveLength(2);
    const next = recorder<number>(f.clock);
    const second = await f.started((bw) => bw.batch<number>({ ...LIMITS, handler: next.handler }));
    expect(await f.run(second.batch.status())).toMatchObject({ leased: 0, retrying: 0 });
    await f.advance(60_000);
    expect(itemsOf(next.deliveries).toSorted(ascending)).toEqual([4, 5, 6, 7]);
  });

  test("after graceMs it aborts what is left and gives it back: nothing counts", async () => {
    const f = new Fixture(kind);
    const signals: AbortSignal[] = [];
    const one = recorder<number>(f.clock, ({ signal }) => {
      signals.push(signal);
      return forever();
    });
    const first = await f.started((bw) =>
      bw.batch<number>({ ...LIMITS, retries: { max: 0 }, handler: one.handler }),
    );
    await f.run(first.batch.addBulk([1, 2]));
    await f.advance(0);
    const stopping = first.bw.stop({ graceMs: 3000 });
    await f.advance(2999);
    expect(signals[0]?.aborted).toBe(false);
    await f.runFor(1, stopping);
    expect(signals[0]?.reason).toMatchObject({ code: "STOPPED" });
    const two = recorder<number>(f.clock);
    const second = await f.started((bw) => bw.batch<number>({ ...LIMITS, handler: two.handler }));
    await f.advance(0);
    const [delivery] = one.deliveries;
    expect(two.deliveries).toEqual([{ ...delivery, attempt: 1, at: 3000 }]);
    expect(await f.run(second.batch.status())).toMatchObject({ dead: 0, retrying: 0, leased: 0 });
  });

  test("the grace is 30 s unless said otherwise", async () => {
    const f = new Fixture(kind);
    const { bw, batch } = await f.started((bw) =>
      bw.batch<number>({ ...LIMITS, handler: () => forever() }),
    );
    await f.run(batch.addBulk([1, 2]));
    await f.advance(0);
    const stopping = bw.stop();
    await f.advance(29_999);
    expect(await f.isPending(stopping)).toBe(true);
    await f.runFor(1, stopping);
    await expect(stopping).resolves.toBeUndefined();
  });

  test("what is claimed while the engine stops is given back, not run", async () => {
    const f = new Fixture(kind);
    const { deliveries, handler } = recorder<number>(f.clock);
    const { process, bw, batch } = await f.started((bw) =>
      bw.batch<number>({ ...LIMITS, handler }),
    );
    process.faults = ({ method }) => (method === "exchange" ? { delayAfterMs: 500 } : undefined);
    await f.run(batch.addBulk(numbers(6)));
    await f.advance(1500);
    await f.run(batch.addBulk(numbers(6)));
    const before = deliveries.length;
    await f.advance(100);
    await f.runFor(1000, bw.stop({ graceMs: 0 }));
    expect(deliveries).toHaveLength(before);
    const next = recorder<number>(f.clock);
    await f.started((bw) => bw.batch<number>({ ...LIMITS, handler: next.handler }));
    await f.advance(0);
    expect(next.deliveries.map(({ attempt }) => attempt)).toEqual([1, 1, 1]);
  });

  test("a handler that ends after it was aborted changes nothing", async () => {
    const f = new Fixture(kind);
    const hold = new Hold();
    const { bw, batch } = await f.started((bw) =>
      bw.batch<number>({
        ...LIMITS,
        handler: async () => {
          await hold.wait();
          throw new Error("too late to matter");
        },
      }),
    );
    await f.run(batch.addBulk([1, 2]));
    await f.advance(0);
    await f.runFor(0, bw.stop({ graceMs: 0 }));
    hold.releaseAll();
    await f.advance(1000);
    const { deliveries, handler } = recorder<number>(f.clock);
    await f.started((bw) => bw.batch<number>({ ...LIMITS, handler }));
    await f.advance(0);
    expect(deliveries).toMatchObject([{ items: [1, 2], attempt: 1 }]);
  });

  test("adds that are under way are committed, and resolve", async () => {
    const f = new Fixture(kind);
    const { handler } = recorder<number>(f.clock);
    const { process, bw, batch } = await f.started((bw) =>
      bw.batch<number>({ ...LIMITS, maxSize: 100, handler }),
    );
    process.faults = ({ method }) => (method === "append" ? { delayBeforeMs: 100 } : undefined);
    const adding = [batch.add(1)];
    await f.advance(10);
    adding.push(batch.add(2));
    const stopping = bw.stop();
    adding.push(batch.add(3));
    const settled = Promise.allSettled(adding);
    await f.runFor(300, stopping);
    expect((await f.run(settled)).map(({ status }) => status)).toEqual([
      "fulfilled",
      "fulfilled",
      "rejected",
    ]);
    const next = f.process().bw.batch<number>({ ...LIMITS, handler });
    expect(await f.run(next.getBufferSize())).toBe(2);
  });

  test("what waits stays in the storage for the next process", async () => {
    const f = new Fixture(kind);
    const { deliveries, handler } = recorder<number>(f.clock);
    const first = await f.started((bw) => bw.batch<number>({ ...LIMITS, handler }));
    await f.run(first.batch.add(1));
    await f.runFor(0, first.bw.stop());
    expect(deliveries).toEqual([]);
    await f.started((bw) => bw.batch<number>({ ...LIMITS, handler }));
    await f.advance(1000);
    expect(itemsOf(deliveries)).toEqual([1]);
  });

  test("it leaves no timer behind", async () => {
    const f = new Fixture(kind);
    const { handler } = recorder<number>(f.clock, ({ attempt }) => {
      if (attempt === 1) throw new Error("not yet");
    });
    const { bw, batch } = await f.started((bw) => {
      bw.batch<number>({ ...LIMITS, name: "memory", persist: false, handler });
      return bw.batch<number>({ ...LIMITS, retries: { max: 1, baseDelay: 60_000 }, handler });
    });
    await f.run(batch.addBulk([1, 2, 3]));
    await f.advance(3000);
    expect(f.clock.timerCount).toBeGreaterThan(0);
    await f.runFor(0, bw.stop());
    expect(f.clock.timerCount).toBe(0);
  });

  test("it leaves no timer behind in the middle of trouble either", async () => {
    const f = new Fixture(kind);
    const { handler } = recorder<number>(f.clock);
    const { process, bw, batch } = await f.started((bw) =>
      bw.batch<number>({ ...LIMITS, handler }),
    );
    process.faults = ({ method }) => (method === "close" ? undefined : { fail: "before" });
    await expect(f.run(batch.add(1))).rejects.toMatchObject({ code: "STORAGE_FAILED" });
    await f.advance(30_000);
    await f.runFor(100, bw.stop({ graceMs: 100 }));
    expect(f.clock.timerCount).toBe(0);
  });

  test("twice is the same as once", async () => {
    const f = new Fixture(kind);
    const { handler } = recorder<number>(f.clock);
    const { process, bw } = await f.started((bw) => bw.batch<number>({ ...LIMITS, handler }));
    await f.runFor(0, Promise.all([bw.stop(), bw.stop()]));
    await f.run(bw.stop());
    expect(process.count("retire")).toBe(1);
  });

  test("before start it stops all the same, and nothing starts any more", async () => {
    const f = new Fixture(kind);
    const { deliveries, handler } = recorder<number>(f.clock);
    const { bw } = f.process();
    const batch = bw.batch<number>({ ...LIMITS, handler });
    await f.run(batch.addBulk([1, 2]));
    await f.runFor(0, bw.stop());
    await expect(f.run(bw.start())).rejects.toMatchObject({ code: "STOPPED" });
    expect(() => bw.batch<number>({ ...LIMITS, name: "other", handler })).toThrow(
      expect.objectContaining({ code: "STOPPED" }),
    );
    await f.advance(10_000);
    expect(deliveries).toEqual([]);
    expect(f.clock.timerCount).toBe(0);
  });

  test("in the middle of a start it waits for it, then stops", async () => {
    const f = new Fixture(kind);
    const { handler } = recorder<number>(f.clock);
    const process = f.process();
    process.bw.batch<number>({ ...LIMITS, handler });
    process.faults = ({ method }) => (method === "enroll" ? { delayAfterMs: 500 } : undefined);
    const starting = process.bw.start();
    const stopping = process.bw.stop();
    await f.runFor(500, Promise.all([starting, stopping]));
    expect(process.count("retire")).toBe(1);
    expect(f.clock.timerCount).toBe(0);
  });

  test("await using stops the engine at the end of the block", async () => {
    const f = new Fixture(kind);
    const { handler } = recorder<number>(f.clock);
    const process = f.process();
    const batch = process.bw.batch<number>({ ...LIMITS, handler });
    const block = async (): Promise<void> => {
      await using bw = process.bw;
      await bw.start();
      await batch.add(1);
    };
    await f.runFor(0, block());
    expect(process.count("close")).toBe(1);
    await expect(f.run(batch.add(2))).rejects.toMatchObject({ code: "STOPPED" });
  });
});
