/** `persist: false`: batches that live in the memory of their process. */
import { describe, expect, test } from "vitest";

import { systemClock, turn } from "../../src/runtime/clock.ts";
import { Fixture, Hold, itemsOf, numbers, recorder, STORAGES, forever } from "./fixture.ts";

const LIMITS = { name: "metrics", maxSize: 10, maxWaitMs: 1000, persist: false };

describe.each(STORAGES)("persist: false beside %s storage", (kind) => {
  test("items are handed over when full, when due and on flush, and not stored", async () => {
    const f = new Fixture(kind);
    const { deliveries, handler } = recorder<number>(f.clock);
    const { process, batch } = await f.started((bw) => bw.batch<number>({ ...LIMITS, handler }));
    await f.run(batch.addBulk(numbers(25)));
    await f.advance(999);
    expect(deliveries.map(({ items }) => items.length)).toEqual([10, 10]);
    await f.advance(1);
    expect(itemsOf(deliveries)).toEqual(numbers(25));
    await f.run(batch.add(25));
    await f.run(batch.flush());
    expect(itemsOf(deliveries)).toEqual(numbers(26));
    for (const method of ["append", "exchange", "makeDue"] as const) {
      expect(process.count(method)).toBe(0);
    }
  });

  test("adding does not even open the durable storage", async () => {
    const f = new Fixture(kind);
    const { handler } = recorder<number>(f.clock);
    const process = f.process();
    const batch = process.bw.batch<number>({ ...LIMITS, handler });
    await f.run(batch.addBulk(numbers(25)));
    expect(await f.run(batch.getBufferSize())).toBe(25);
    expect(process.calls).toEqual([]);
  });

  test("the handler is given the very values that were added", async () => {
    const f = new Fixture(kind);
    const { deliveries, handler } = recorder(f.clock);
    const { batch } = await f.started((bw) => bw.batch({ ...LIMITS, handler }));
    const items = [{ n: 1 }, () => 1, new Map()];
    await f.run(batch.addBulk(items));
    await f.advance(1000);
    for (const [index, item] of itemsOf(deliveries).entries()) expect(item).toBe(items[index]);
    expect(deliveries).toHaveLength(1);
  });

  test("an add resolves as soon as the process holds the item, with the id it keeps", async () => {
    const f = new Fixture(kind);
    const { deliveries, handler } = recorder<number>(f.clock);
    const { batch } = await f.started((bw) => bw.batch<number>({ ...LIMITS, handler }));
    // Nothing of the clock runs here: what resolves needs no turn of the event loop.
    const results = [await batch.add(0), await batch.add(1)];
    await f.advance(1000);
    expect(deliveries).toMatchObject([{ items: [0, 1], itemIds: results.map(({ id }) => id) }]);
  });

  test("callers that add in a loop let others have a turn", async () => {
    const f = new Fixture(kind);
    const { deliveries, handler } = recorder<number>(f.clock);
    const { batch } = await f.started((bw) =>
      bw.batch<number>({ ...LIMITS, maxSize: 100_000, maxWaitMs: 1000, handler }),
    );
    let added = 0;
    const caller = async (): Promise<void> => {
      while (added < 50_000) await batch.add(added++);
    };
    const callers = Promise.all([caller(), caller()]);
    // The clock has not moved, so no turn of its event loop has passed.
    await turn(systemClock);
    expect(added).toBeLessThan(50_000);
    await f.run(callers);
    await f.advance(1000);
    expect(itemsOf(deliveries)).toEqual(numbers(50_000));
  });

  test("stop hands over what waits, within its grace", async () => {
    const f = new Fixture(kind);
    const { deliveries, handler } = recorder<number>(f.clock);
    const { bw, batch } = await f.started((bw) =>
      bw.batch<number>({ ...LIMITS, concurrency: 1, handler }),
    );
    await f.run(batch.addBulk(numbers(35)));
    const late = batch.add(35);
    await f.runFor(0, bw.stop());
    await f.run(late);
    expect(itemsOf(deliveries)).toEqual(numbers(36));
    expect(f.clock.timerCount).toBe(0);
  });

  test("stop waits for the handlers of what it handed over, and for retries, but not for ever", async () => {
    const f = new Fixture(kind);
    const { deliveries, handler } = recorder<number>(f.clock, ({ attempt }) => {
      if (attempt < 3) throw new Error("not yet");
    });
    const { bw, batch } = await f.started((bw) =>
      bw.batch<number>({ ...LIMITS, retries: { max: 5, baseDelay: 1000 }, handler }),
    );
    await f.run(batch.add(1));
    const stopping = bw.stop({ graceMs: 5000 });
    await f.advance(2999);
    expect(await f.isPending(stopping)).toBe(true);
    await f.runFor(1, stopping);
    expect(deliveries.map(({ attempt }) => attempt)).toEqual([1, 2, 3]);

    const endless = await f.started((bw) =>
      bw.batch<number>({ ...LIMITS, handler: () => forever() }),
    );
    await f.run(endless.batch.add(1));
    await f.runFor(5000, endless.bw.stop({ graceMs: 5000 }));
    expect(f.clock.timerCount).toBe(0);
  });

  test("what is paused is not handed over by stop", async () => {
    const f = new Fixture(kind);
    const { deliveries, handler } = recorder<number>(f.clock);
    const { bw, batch } = await f.started((bw) => bw.batch<number>({ ...LIMITS, handler }));
    await f.run(batch.pause());
    await f.run(batch.add(1));
    await f.runFor(0, bw.stop());
    expect(deliveries).toEqual([]);
  });

  test("retries, verdicts and dead letters work as on a durable storage", async () => {
    const f = new Fixture(kind);
    const told: unknown[] = [];
    const { deliveries, handler } = recorder<number>(f.clock, (ctx) => {
      ctx.fail(1, new Error("this one"));
    });
    const { batch } = await f.started((bw) =>
      bw.batch<number>({
        ...LIMITS,
        maxSize: 3,
        groupBy: () => "g",
        deadLetter: { enabled: true, onDead: ({ items }) => told.push(items) },
        handler,
      }),
    );
    await f.run(batch.addBulk(numbers(3)));
    await f.advance(0);
    expect(told).toEqual([[1]]);
    expect(await f.run(batch.deadLetters.list())).toMatchObject([{ item: 1, groupKey: "g" }]);
    expect(deliveries).toHaveLength(1);
  });

  test("maxBytes holds, and measures", async () => {
    const f = new Fixture(kind);
    const { deliveries, handler } = recorder<string>(f.clock);
    const { batch } = await f.started((bw) =>
      bw.batch<string>({ ...LIMITS, maxBytes: 30, handler }),
    );
    const ten = "12345678";
    await f.run(batch.addBulk([ten, ten]));
    await f.advance(100);
    expect(deliveries).toEqual([]);
    await f.run(batch.addBulk([ten, ten]));
    await f.advance(0);
    expect(deliveries.map(({ items }) => items.length)).toEqual([3]);
    await expect(f.run(batch.add("x".repeat(29)))).rejects.toMatchObject({
      code: "ITEM_TOO_LARGE",
    });
  });

  test("a batch that is defined after start runs as well", async () => {
    const f = new Fixture(kind);
    const { deliveries, handler } = recorder<number>(f.clock);
    const { bw } = await f.started(() => undefined);
    const batch = bw.batch<number>({ ...LIMITS, handler });
    await f.run(batch.addBulk(numbers(10)));
    await f.advance(0);
    expect(itemsOf(deliveries)).toEqual(numbers(10));
  });

  test("beside a durable batch neither keeps the other awake", async () => {
    const f = new Fixture(kind);
    const { handler } = recorder<number>(f.clock);
    const { process, batch } = await f.started((bw) => [
      bw.batch<number>({ ...LIMITS, handler }),
      bw.batch<number>({ ...LIMITS, name: "durable", persist: true, handler }),
    ]);
    await f.run(Promise.all(batch.map((one) => one.add(1))));
    await f.advance(60_000);
    expect(process.count("exchange")).toBeLessThan(100);
  });

  test("an ephemeral batch cannot join a transaction of the durable storage", async () => {
    const f = new Fixture(kind);
    const hold = new Hold();
    const codes: unknown[] = [];
    await (async () => {
      const { batch } = await f.started((bw) => {
        const memory = bw.batch<number>({ ...LIMITS, handler: () => hold.wait() });
        return bw.batch<number>({
          ...LIMITS,
          name: "durable",
          persist: true,
          handler: async (ctx) => {
            await memory.getBufferSize();
            await ctx.tx((tx) => {
              try {
                memory.addSync(1, { tx });
              } catch (error) {
                codes.push((error as { code: string }).code);
              }
            });
          },
        });
      });
      await f.run(batch.addBulk(numbers(10)));
      await f.advance(0);
    })();
    expect(codes).toEqual([kind === "memory" ? "TX_MISMATCH" : "TX_UNSUPPORTED"]);
  });
});
