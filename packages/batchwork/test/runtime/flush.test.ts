/** `flush()`: what it hands over, and when it resolves. */
import { describe, expect, test } from "vitest";

import { Fixture, Hold, itemsOf, numbers, recorder, STORAGES, ascending } from "./fixture.ts";

const LIMITS = { name: "events", maxSize: 500, maxWaitMs: 3_600_000 };

interface Item {
  readonly group: string;
  readonly n: number;
}

describe.each(STORAGES)("flush on %s storage", (kind) => {
  test("without an argument all groups are handed over, without any time passing", async () => {
    const f = new Fixture(kind);
    const { deliveries, handler } = recorder<Item>(f.clock);
    const { batch } = await f.started((bw) =>
      bw.batch<Item>({ ...LIMITS, groupBy: ({ group }) => group, handler }),
    );
    await f.run(batch.addBulk(["a", "b", "c"].map((group) => ({ group, n: 1 }))));
    await f.run(batch.flush());
    expect(deliveries.map(({ groupKey }) => groupKey).toSorted(ascending)).toEqual(["a", "b", "c"]);
    expect(f.clock.monotonicMs()).toBe(0);
  });

  test("with a group only that one is handed over", async () => {
    const f = new Fixture(kind);
    const { deliveries, handler } = recorder<Item>(f.clock);
    const { batch } = await f.started((bw) =>
      bw.batch<Item>({ ...LIMITS, groupBy: ({ group }) => group, handler }),
    );
    await f.run(batch.addBulk(["a", "b", "c"].map((group) => ({ group, n: 1 }))));
    await f.run(batch.flush("b"));
    await f.advance(10_000);
    expect(deliveries.map(({ groupKey }) => groupKey)).toEqual(["b"]);
    expect(await f.run(batch.getBufferSize())).toBe(2);
  });

  test("it resolves only when the first attempt of everything has ended", async () => {
    const f = new Fixture(kind);
    const hold = new Hold();
    const { deliveries, handler } = recorder<number>(f.clock, () => hold.wait());
    const { batch } = await f.started((bw) =>
      bw.batch<number>({ ...LIMITS, maxSize: 10, concurrency: 1, handler }),
    );
    await f.run(batch.addBulk(numbers(25)));
    const flushing = batch.flush();
    for (let ended = 0; ended < 3; ended++) {
      expect(await f.isPending(flushing)).toBe(true);
      expect(deliveries).toHaveLength(ended + 1);
      hold.release();
    }
    await f.run(flushing);
    expect(itemsOf(deliveries)).toEqual(numbers(25));
  });

  test("an attempt that failed has ended too: flush resolves although a retry is to come", async () => {
    const f = new Fixture(kind);
    const { deliveries, handler } = recorder<number>(f.clock, ({ attempt }) => {
      if (attempt === 1) throw new Error("not yet");
    });
    const { batch } = await f.started((bw) =>
      bw.batch<number>({ ...LIMITS, retries: { max: 1, baseDelay: 5000 }, handler }),
    );
    await f.run(batch.add(1));
    await f.run(batch.flush());
    expect(deliveries.map(({ attempt }) => attempt)).toEqual([1]);
    await f.advance(5000);
    expect(deliveries.map(({ attempt }) => attempt)).toEqual([1, 2]);
  });

  test("named items that go on in a batch of their own have had their first attempt", async () => {
    const f = new Fixture(kind);
    const { deliveries, handler } = recorder<number>(f.clock, (ctx) => {
      if (ctx.attempt === 1) ctx.fail(0, new Error("not yet"));
    });
    const { batch } = await f.started((bw) =>
      bw.batch<number>({ ...LIMITS, retries: { max: 1, baseDelay: 5000 }, handler }),
    );
    await f.run(batch.addBulk([1, 2]));
    await f.run(batch.flush());
    await f.advance(5000);
    expect(deliveries.map(({ items }) => items)).toEqual([[1, 2], [1]]);
  });

  test("items whose commit is still under way are part of it", async () => {
    const f = new Fixture(kind);
    const { deliveries, handler } = recorder<number>(f.clock);
    const { process, batch } = await f.started((bw) => bw.batch<number>({ ...LIMITS, handler }));
    process.faults = ({ method }) => (method === "append" ? { delayBeforeMs: 100 } : undefined);
    const adding = [batch.add(1), batch.add(2)];
    await f.advance(50);
    adding.push(batch.add(3));
    const flushing = batch.flush();
    expect(await f.isPending(flushing)).toBe(true);
    await f.runFor(300, flushing);
    await f.run(Promise.all(adding));
    expect(itemsOf(deliveries)).toEqual([1, 2, 3]);
  });

  test("items added after the call neither hold it up nor are handed over early", async () => {
    const f = new Fixture(kind);
    const hold = new Hold();
    const { deliveries, handler } = recorder<string>(f.clock, () => hold.wait());
    const { batch } = await f.started((bw) => bw.batch<string>({ ...LIMITS, handler }));
    await f.run(batch.add("before"));
    const flushing = batch.flush();
    await f.advance(10);
    await f.run(batch.add("after"));
    hold.release();
    await f.run(flushing);
    await f.advance(10_000);
    expect(itemsOf(deliveries)).toEqual(["before"]);
    expect(await f.run(batch.getBufferSize())).toBe(1);
  });

  test("flush of nothing, or of a group nobody knows, resolves", async () => {
    const f = new Fixture(kind);
    const { deliveries, handler } = recorder<number>(f.clock);
    const { batch } = await f.started((bw) =>
      bw.batch<number>({ ...LIMITS, groupBy: String, handler }),
    );
    await expect(f.run(batch.flush())).resolves.toBeUndefined();
    await f.run(batch.add(1));
    await expect(f.run(batch.flush("2"))).resolves.toBeUndefined();
    expect(deliveries).toEqual([]);
  });

  test("it waits for a batch that another process runs, and hears of its end", async () => {
    const f = new Fixture(kind);
    const hold = new Hold();
    const one = recorder<number>(f.clock, () => hold.wait());
    const first = await f.started((bw) => bw.batch<number>({ ...LIMITS, handler: one.handler }));
    await f.run(first.batch.add(1));
    await f.advance(0);
    const firstFlush = first.batch.flush();
    await f.advance(0);
    const two = recorder<number>(f.clock);
    const second = await f.started((bw) => bw.batch<number>({ ...LIMITS, handler: two.handler }));
    const flushing = second.batch.flush();
    await f.advance(3000);
    expect(await f.isPending(flushing)).toBe(true);
    hold.releaseAll();
    await f.runFor(50, flushing);
    await f.run(firstFlush);
    expect([one.deliveries.length, two.deliveries.length]).toEqual([1, 0]);
  });

  test("on a paused batch it rejects when something waits, and resolves when nothing does", async () => {
    const f = new Fixture(kind);
    const { deliveries, handler } = recorder<number>(f.clock);
    const { batch } = await f.started((bw) => bw.batch<number>({ ...LIMITS, handler }));
    await f.run(batch.pause());
    await expect(f.run(batch.flush())).resolves.toBeUndefined();
    await f.run(batch.add(1));
    await expect(f.run(batch.flush())).rejects.toMatchObject({ code: "PAUSED" });
    await expect(f.run(batch.drain())).rejects.toMatchObject({ code: "PAUSED" });
    expect(deliveries).toEqual([]);
  });

  test("a flush that was rejected because of a pause has no effect after it", async () => {
    const f = new Fixture(kind);
    const { deliveries, handler } = recorder<number>(f.clock);
    const { batch } = await f.started((bw) => bw.batch<number>({ ...LIMITS, handler }));
    await f.run(batch.pause());
    await f.run(batch.add(1));
    await expect(f.run(batch.flush())).rejects.toMatchObject({ code: "PAUSED" });
    await f.run(batch.resume());
    await f.advance(10_000);
    expect(deliveries).toEqual([]);
  });

  test("a flush that waits is told at once when the batch is paused", async () => {
    const f = new Fixture(kind);
    const hold = new Hold();
    const { handler } = recorder<number>(f.clock, () => hold.wait());
    const { batch } = await f.started((bw) =>
      bw.batch<number>({ ...LIMITS, maxSize: 1, concurrency: 1, handler }),
    );
    await f.run(batch.addBulk([1, 2]));
    const flushing = batch.flush();
    expect(await f.isPending(flushing)).toBe(true);
    await f.run(batch.pause());
    await expect(f.run(flushing)).rejects.toMatchObject({ code: "PAUSED" });
  });

  test("a flush that waits is told when the engine stops", async () => {
    const f = new Fixture(kind);
    const hold = new Hold();
    const { handler } = recorder<number>(f.clock, () => hold.wait());
    const { bw, batch } = await f.started((bw) => bw.batch<number>({ ...LIMITS, handler }));
    await f.run(batch.add(1));
    const flushing = batch.flush();
    flushing.catch(() => undefined);
    await f.runFor(1000, bw.stop({ graceMs: 1000 }));
    await expect(f.run(flushing)).rejects.toMatchObject({ code: "STOPPED" });
  });

  test("a handler that would wait for itself is told so", async () => {
    const f = new Fixture(kind);
    const codes: unknown[] = [];
    const { batch } = await f.started((bw) => {
      const batch = bw.batch<Item>({
        ...LIMITS,
        groupBy: ({ group }) => group,
        handler: async () => {
          for (const call of [() => batch.flush(), () => batch.flush("a"), () => batch.drain()]) {
            await call().catch((error: unknown) => codes.push((error as { code: unknown }).code));
          }
        },
      });
      return batch;
    });
    await f.run(batch.add({ group: "a", n: 1 }));
    await f.run(batch.flush());
    expect(codes).toEqual(["FLUSH_IN_HANDLER", "FLUSH_IN_HANDLER", "FLUSH_IN_HANDLER"]);
  });

  test("what a handler started may flush once the handler has ended", async () => {
    const f = new Fixture(kind);
    const hold = new Hold();
    const flushes: Promise<void>[] = [];
    const { deliveries, handler } = recorder<string>(f.clock, ({ batch: [item] }) => {
      if (item === "first") flushes.push(hold.wait().then(() => batch.flush()));
    });
    const { batch } = await f.started((bw) => bw.batch<string>({ ...LIMITS, handler }));
    await f.run(batch.add("first"));
    await f.run(batch.flush());
    await f.run(batch.add("second"));
    hold.releaseAll();
    await f.run(Promise.all(flushes));
    expect(flushes).toHaveLength(1);
    expect(itemsOf(deliveries)).toEqual(["first", "second"]);
  });

  test("a handler may flush another group, and another batch", async () => {
    const f = new Fixture(kind);
    const order: string[] = [];
    const { batch } = await f.started((bw) => {
      const other = bw.batch<string>({
        ...LIMITS,
        name: "other",
        handler: ({ batch: [item] }) => order.push(`other ${item}`),
      });
      const batch = bw.batch<Item>({
        ...LIMITS,
        groupBy: ({ group }) => group,
        handler: async ({ groupKey }) => {
          if (groupKey === "a") {
            await other.add("x");
            await other.flush();
            await batch.flush("b");
          }
          order.push(`group ${groupKey}`);
        },
      });
      return batch;
    });
    await f.run(batch.addBulk(["a", "b"].map((group) => ({ group, n: 1 }))));
    await f.run(batch.flush("a"));
    expect(order).toEqual(["other x", "group b", "group a"]);
  });
});
