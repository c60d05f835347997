/** Defining, starting, ticking, and what a handler can tell its surroundings. */
import { describe, expect, test } from "vitest";

import type { BatchContext } from "../../src/runtime/context.ts";
import { Fixture, Hold, itemsOf, numbers, recorder, STORAGES } from "./fixture.ts";

const LIMITS = { name: "events", maxSize: 2, maxWaitMs: 1000 };

describe.each(STORAGES)("the engine on %s storage", (kind) => {
  test("a name is taken once, whatever the storage of the batch", () => {
    const f = new Fixture(kind);
    const { handler } = recorder<number>(f.clock);
    const { bw } = f.process();
    bw.batch<number>({ ...LIMITS, handler });
    for (const persist of [true, false]) {
      expect(() => bw.batch<number>({ ...LIMITS, persist, handler })).toThrow(
        expect.objectContaining({ code: "NAME_TAKEN", field: "name", value: "events" }),
      );
    }
    expect(bw.batch<number>({ ...LIMITS, name: "other", handler }).name).toBe("other");
  });

  test("options outside their range are refused by name", () => {
    const f = new Fixture(kind);
    const { handler } = recorder<number>(f.clock);
    const { bw } = f.process();
    for (const wrong of [{ maxSize: 0 }, { maxWaitMs: -1 }, { timeout: 0 }, { concurrency: 1.5 }]) {
      expect(() => bw.batch<number>({ ...LIMITS, ...wrong, handler })).toThrow(
        expect.objectContaining({ code: "OPTION_INVALID", field: Object.keys(wrong)[0] }),
      );
    }
    // A refused definition does not take the name.
    expect(bw.batch<number>({ ...LIMITS, handler }).name).toBe("events");
    expect(() => f.process({ leaseMs: -1 })).toThrow(
      expect.objectContaining({ code: "OPTION_INVALID", field: "leaseMs" }),
    );
  });

  test("a batch that is defined after start works like any other", async () => {
    const f = new Fixture(kind);
    const { deliveries, handler } = recorder<number>(f.clock);
    const { bw } = await f.started(() => undefined);
    await f.advance(5000);
    const batch = bw.batch<number>({ ...LIMITS, handler });
    await f.run(batch.addBulk(numbers(3)));
    await f.advance(1000);
    expect(itemsOf(deliveries)).toEqual(numbers(3));
  });

  test("what waited in a batch is handed over when it is defined after start", async () => {
    const f = new Fixture(kind);
    const { deliveries, handler } = recorder<number>(f.clock);
    const first = f.process().bw.batch<number>({ ...LIMITS, handler });
    await f.run(first.addBulk(numbers(2)));
    const { bw } = await f.started(() => undefined);
    await f.advance(100);
    bw.batch<number>({ ...LIMITS, handler });
    await f.advance(0);
    expect(itemsOf(deliveries)).toEqual(numbers(2));
  });

  test("start is legal twice, and starts once", async () => {
    const f = new Fixture(kind);
    const { deliveries, handler } = recorder<number>(f.clock);
    const process = f.process();
    const { bw } = process;
    const batch = bw.batch<number>({ ...LIMITS, handler });
    await f.run(Promise.all([bw.start(), bw.start()]));
    await f.run(bw.start());
    expect(process.count("enroll")).toBe(1);
    await f.run(batch.addBulk(numbers(2)));
    await f.advance(0);
    expect(deliveries).toHaveLength(1);
  });

  test("a start that failed can be tried again", async () => {
    const f = new Fixture(kind);
    const { deliveries, handler } = recorder<number>(f.clock);
    const process = f.process();
    const batch = process.bw.batch<number>({ ...LIMITS, handler });
    for (const method of ["open", "define", "enroll"]) {
      process.faults = (call) => (call.method === method ? { fail: "before" } : undefined);
      await expect(f.run(process.bw.start())).rejects.toMatchObject({ code: "STORAGE_FAILED" });
    }
    process.faults = () => undefined;
    await f.run(process.bw.start());
    await f.run(batch.addBulk(numbers(2)));
    await f.advance(0);
    expect(itemsOf(deliveries)).toEqual(numbers(2));
  });

  test("tick runs one turn of the loop by hand", async () => {
    const f = new Fixture(kind);
    const { deliveries, handler } = recorder<number>(f.clock);
    const adder = f.process().bw.batch<number>({ ...LIMITS, handler });
    const { process, bw } = await f.started((bw) => bw.batch<number>({ ...LIMITS, handler }));
    await f.advance(0);
    // Nothing happens in this process by itself any more.
    process.freeze();
    await f.run(adder.addBulk(numbers(2)));
    await f.advance(5000);
    expect(deliveries).toEqual([]);
    await f.run(bw.tick());
    await f.advance(0);
    expect(itemsOf(deliveries)).toEqual(numbers(2));
    expect(await f.run(adder.status())).toMatchObject({ leased: 1 });
    await f.run(bw.tick());
    expect(await f.run(adder.status())).toMatchObject({ leased: 0 });
  });

  test("ticks that overlap hand nothing over twice", async () => {
    const f = new Fixture(kind);
    const { deliveries, handler } = recorder<number>(f.clock);
    const { process, bw, batch } = await f.started((bw) =>
      bw.batch<number>({ ...LIMITS, concurrency: 100, handler }),
    );
    process.faults = ({ method }) => (method === "exchange" ? { delayAfterMs: 10 } : undefined);
    await f.run(batch.addBulk(numbers(60)));
    const ticks = numbers(20).map(() => bw.tick());
    await f.runFor(1000, Promise.all(ticks));
    expect(itemsOf(deliveries)).toEqual(numbers(60));
  });

  test("ticks that overlap claim no more than there are places", async () => {
    const f = new Fixture(kind);
    const hold = new Hold();
    const { deliveries, handler } = recorder<number>(f.clock, () => hold.wait());
    const { process, bw, batch } = await f.started((bw) =>
      bw.batch<number>({ ...LIMITS, concurrency: 3, handler }),
    );
    process.faults = ({ method }) => (method === "exchange" ? { delayAfterMs: 10 } : undefined);
    await f.run(batch.addBulk(numbers(60)));
    const ticks = numbers(20).map(() => bw.tick());
    await f.runFor(1000, Promise.all(ticks));
    expect(deliveries).toHaveLength(3);
    hold.releaseAll();
  });

  test("tick before start does nothing", async () => {
    const f = new Fixture(kind);
    const { deliveries, handler } = recorder<number>(f.clock);
    const { bw } = f.process();
    const batch = bw.batch<number>({ ...LIMITS, handler });
    await f.run(batch.addBulk(numbers(2)));
    await f.run(bw.tick());
    await f.advance(0);
    expect(deliveries).toEqual([]);
  });

  test("ctx.log reaches the logger with the batch's name, id and attempt", async () => {
    const f = new Fixture(kind);
    const { process, batch } = await f.started((bw) =>
      bw.batch<number>({
        ...LIMITS,
        handler: (ctx) => {
          ctx.log("info", "half way", { rows: 7 });
          ctx.log("debug", "no fields");
        },
      }),
    );
    await f.run(batch.addBulk(numbers(2)));
    await f.advance(0);
    const about = { name: "events", batch: expect.any(Number) as unknown, attempt: 1 };
    expect(process.logs).toEqual([
      { level: "info", message: "half way", fields: { ...about, rows: 7 } },
      { level: "debug", message: "no fields", fields: about },
    ]);
  });
});

describe.each(STORAGES)("status on %s storage", (kind) => {
  test("it counts what waits, runs, backs off and is dead", async () => {
    const f = new Fixture(kind);
    const hold = new Hold();
    const { deliveries, handler } = recorder<string>(f.clock, async ({ groupKey, attempt }) => {
      if (groupKey === "held") await hold.wait();
      if (groupKey === "flaky" && attempt === 1) throw new Error("not yet");
      if (groupKey === "bad") throw new Error("no");
    });
    const { batch } = await f.started((bw) =>
      bw.batch<string>({
        ...LIMITS,
        groupBy: (item) => item.split(" ")[0] as string,
        retries: { max: 1, baseDelay: 100 },
        handler,
      }),
    );
    await f.advance(250);
    await f.run(batch.addBulk(["bad 1", "bad 2"]));
    await f.advance(500);
    await f.run(batch.addBulk(["held 1", "held 2", "held 3", "flaky 1", "flaky 2", "few 1"]));
    await f.advance(50);
    const held = deliveries.find(({ groupKey }) => groupKey === "held");
    const startMs = f.clock.wallMs() - f.clock.monotonicMs();
    expect(await f.run(batch.status())).toEqual({
      name: "events",
      tags: [],
      paused: false,
      waiting: 2,
      groups: 2,
      retrying: 1,
      leased: 1,
      dead: 2,
      dueAt: new Date(startMs + 1750),
      throttledUntil: null,
      running: [
        {
          batchId: held?.id,
          groupKey: "held",
          size: 2,
          attempt: 1,
          claimedAt: new Date(startMs + 750),
          percent: null,
          note: null,
        },
      ],
    });
    hold.releaseAll();
    await f.advance(60_000);
    expect(await f.run(batch.status())).toEqual({
      name: "events",
      tags: [],
      paused: false,
      waiting: 0,
      groups: 0,
      retrying: 0,
      leased: 0,
      dead: 2,
      dueAt: null,
      throttledUntil: null,
      running: [],
    });
  });

  test("it shows what ctx.progress said last", async () => {
    const f = new Fixture(kind);
    const contexts: BatchContext<number>[] = [];
    const hold = new Hold();
    const { handler } = recorder<number>(f.clock, (ctx) => {
      contexts.push(ctx);
      return hold.wait();
    });
    const { batch } = await f.started((bw) => bw.batch<number>({ ...LIMITS, handler }));
    await f.run(batch.addBulk(numbers(2)));
    await f.advance(0);
    const [ctx] = contexts as [BatchContext<number>];
    await f.run(ctx.progress(0));
    await f.run(ctx.progress(12.5, "an eighth"));
    expect((await f.run(batch.status())).running).toMatchObject([
      { percent: 12.5, note: "an eighth", groupKey: undefined },
    ]);
    for (const percent of [-1, 100.1, Number.NaN]) {
      await expect(f.run(ctx.progress(percent))).rejects.toMatchObject({
        code: "OPTION_INVALID",
        field: "percent",
      });
    }
    await f.run(ctx.progress(100, "done"));
    expect((await f.run(batch.status())).running).toMatchObject([{ percent: 100, note: "done" }]);
    hold.releaseAll();
  });

  test("the buffer is what no handler has got yet, of one group or of all, in all processes", async () => {
    const f = new Fixture(kind);
    const hold = new Hold();
    const { handler } = recorder<string>(f.clock, () => hold.wait());
    const options = { ...LIMITS, groupBy: (item: string) => item.slice(0, 1), handler };
    const { batch } = await f.started((bw) => bw.batch<string>(options));
    const elsewhere = f.process().bw.batch<string>(options);
    expect(await f.run(elsewhere.getBufferSize())).toBe(0);
    await f.run(batch.addBulk(["a1", "a2", "a3", "b1"]));
    await f.run(elsewhere.add("b2 from elsewhere"));
    await f.advance(0);
    // "a1" and "a2" are with the handler.
    await f.run(elsewhere.add("a4"));
    for (const one of [batch, elsewhere]) {
      const sizes = [one.getBufferSize(), one.getBufferSize("a"), one.getBufferSize("c")];
      expect(await f.run(Promise.all(sizes))).toEqual([4, 2, 0]);
    }
    hold.releaseAll();
  });
});
