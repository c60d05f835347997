/** A storage that fails: nothing is lost, nothing spins, and work resumes by itself. */
import { describe, expect, test } from "vitest";

import type { StorageMethod } from "../../src/testing/faulty-storage.ts";
import { Fixture, Hold, itemsOf, numbers, recorder, STORAGES } from "./fixture.ts";

const LIMITS = { name: "events", maxSize: 10, maxWaitMs: 1000 };

describe.each(STORAGES)("a %s storage that fails", (kind) => {
  test.each(["before", "busy", "after"] as const)(
    "one failed look at the storage (%s) costs a moment, and no item",
    async (fail) => {
      const f = new Fixture(kind);
      const { deliveries, handler } = recorder<number>(f.clock);
      const { process, batch } = await f.started((bw) => bw.batch<number>({ ...LIMITS, handler }));
      await f.advance(0);
      let failed = 0;
      process.faults = ({ method }) =>
        method === "exchange" && failed++ === 0 ? { fail } : undefined;
      await f.run(batch.addBulk(numbers(20)));
      await f.advance(0);
      expect(deliveries).toEqual([]);
      await f.advance(200);
      expect(itemsOf(deliveries).toSorted((a, b) => a - b)).toEqual(numbers(20));
      expect(process.logged("warn")).toEqual(["The storage failed; trying again."]);
    },
  );

  test("while it is down it is asked ever more rarely; then work resumes within seconds", async () => {
    const f = new Fixture(kind);
    const { deliveries, handler } = recorder<number>(f.clock);
    const { process, batch } = await f.started((bw) => bw.batch<number>({ ...LIMITS, handler }));
    await f.run(batch.addBulk(numbers(5)));
    const down: ReadonlySet<StorageMethod> = new Set([
      "exchange",
      "heartbeat",
      "reap",
      "reconcile",
    ]);
    process.faults = ({ method }) => (down.has(method) ? { fail: "before" } : undefined);
    const before = process.count("exchange");
    await f.advance(600_000);
    expect(process.count("exchange") - before).toBeLessThan(300);
    expect(process.count("reconcile")).toBeLessThan(300);
    expect(deliveries).toEqual([]);
    process.faults = () => undefined;
    await f.advance(10_000);
    expect(itemsOf(deliveries)).toEqual(numbers(5));
    const { bw, logs } = process;
    expect(logs.length).toBeLessThan(600);
    await f.runFor(0, bw.stop());
  });

  test("a verdict waits until it can be stored; the handler does not run twice", async () => {
    const f = new Fixture(kind);
    const hold = new Hold();
    const { deliveries, handler } = recorder<number>(f.clock, () => hold.wait());
    const { process, batch } = await f.started((bw) => bw.batch<number>({ ...LIMITS, handler }));
    await f.run(batch.addBulk(numbers(10)));
    await f.advance(0);
    process.faults = ({ method }) => (method === "exchange" ? { fail: "before" } : undefined);
    hold.releaseAll();
    await f.advance(60_000);
    expect(await f.run(batch.status())).toMatchObject({ leased: 1 });
    process.faults = () => undefined;
    await f.advance(10_000);
    expect(await f.run(batch.status())).toMatchObject({ leased: 0, retrying: 0, dead: 0 });
    expect(deliveries).toHaveLength(1);
  });

  test("stop gives back what it could not settle in time", async () => {
    const f = new Fixture(kind);
    const hold = new Hold();
    const { deliveries, handler } = recorder<number>(f.clock, () => hold.wait());
    const first = await f.started((bw) => bw.batch<number>({ ...LIMITS, handler }));
    await f.run(first.batch.addBulk(numbers(10)));
    await f.advance(0);
    first.process.faults = ({ method }) => (method === "exchange" ? { fail: "before" } : undefined);
    hold.releaseAll();
    await f.runFor(3000, first.bw.stop({ graceMs: 3000 }));
    const second = await f.started((bw) => bw.batch<number>({ ...LIMITS, handler }));
    await f.advance(0);
    expect(deliveries.map(({ attempt }) => attempt)).toEqual([1, 1]);
    expect(await f.run(second.batch.status())).toMatchObject({ leased: 0, retrying: 0 });
  });

  test("heartbeats that fail for less than a lease cost nothing", async () => {
    const f = new Fixture(kind);
    const hold = new Hold();
    const { deliveries, handler } = recorder<number>(f.clock, () => hold.wait());
    const options = { ...LIMITS, handler };
    const { process, batch } = await f.started((bw) => bw.batch<number>(options));
    await f.started((bw) => bw.batch<number>(options));
    await f.run(batch.addBulk(numbers(10)));
    await f.advance(5000);
    process.faults = ({ method }) => (method === "heartbeat" ? { fail: "before" } : undefined);
    await f.advance(14_000);
    process.faults = () => undefined;
    await f.advance(30_000);
    expect(process.logged("warn")).toContain("A heartbeat failed; it is tried again.");
    hold.releaseAll();
    await f.advance(10_000);
    expect(deliveries).toHaveLength(1);
    expect(await f.run(batch.status())).toMatchObject({ leased: 0, retrying: 0, dead: 0 });
  });

  test("a handler hears of a failed progress call, and may go on", async () => {
    const f = new Fixture(kind);
    const codes: unknown[] = [];
    const { process, batch } = await f.started((bw) =>
      bw.batch<number>({
        ...LIMITS,
        handler: async (ctx) => {
          await ctx
            .progress(50)
            .catch((error: unknown) => codes.push((error as { code: string }).code));
        },
      }),
    );
    process.faults = ({ method }) => (method === "progress" ? { fail: "before" } : undefined);
    await f.run(batch.addBulk(numbers(10)));
    await f.advance(1000);
    expect(codes).toEqual(["STORAGE_FAILED"]);
    expect(await f.run(batch.status())).toMatchObject({ leased: 0, retrying: 0, dead: 0 });
  });

  test("a transaction that could not begin fails the attempt, and only that", async () => {
    const f = new Fixture(kind);
    const { deliveries, handler } = recorder<number>(f.clock, async (ctx) => {
      await ctx.tx(() => undefined);
    });
    const { process, batch } = await f.started((bw) =>
      bw.batch<number>({ ...LIMITS, retries: { max: 1, baseDelay: 100 }, handler }),
    );
    process.faults = ({ method, nth }) =>
      method === "transact" && nth === 1 ? { fail: "before" } : undefined;
    await f.run(batch.addBulk(numbers(10)));
    await f.advance(60_000);
    expect(deliveries.map(({ attempt }) => attempt)).toEqual([1, 2]);
    expect(await f.run(batch.status())).toMatchObject({ leased: 0, retrying: 0, dead: 0 });
  });

  test("letters nobody could be told of are told of later", async () => {
    const f = new Fixture(kind);
    const told: unknown[] = [];
    const { process, batch } = await f.started((bw) =>
      bw.batch<number>({
        ...LIMITS,
        deadLetter: { enabled: true, onDead: ({ items }) => told.push(items) },
        handler: () => {
          throw new Error("no");
        },
      }),
    );
    process.faults = ({ method }) => (method === "takeUnnotified" ? { fail: "before" } : undefined);
    await f.run(batch.addBulk(numbers(10)));
    await f.advance(3000);
    expect(told).toEqual([]);
    process.faults = () => undefined;
    await f.advance(10_000);
    expect(told).toEqual([numbers(10)]);
  });

  test("a slow storage slows things down, and breaks nothing", async () => {
    const f = new Fixture(kind);
    const { deliveries, handler } = recorder<number>(f.clock, ({ attempt, batch: [item] }) => {
      if (attempt === 1 && item === 0) throw new Error("not yet");
    });
    const { process, batch } = await f.started((bw) =>
      bw.batch<number>({ ...LIMITS, retries: { max: 1 }, handler }),
    );
    process.faults = () => ({ delayBeforeMs: 300, delayAfterMs: 400 });
    await f.runFor(1000, batch.addBulk(numbers(35)));
    await f.advance(60_000);
    expect(itemsOf(deliveries.filter(({ attempt }) => attempt === 1))).toEqual(numbers(35));
    expect(deliveries).toHaveLength(5);
    process.faults = () => undefined;
    await f.advance(1000);
    expect(await f.run(batch.status())).toMatchObject({ leased: 0, retrying: 0, waiting: 0 });
  });
});
