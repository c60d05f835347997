/** Calls that come before `start()` or end after `stop()`. */
import { describe, expect, test } from "vitest";

import { failNth } from "../../src/testing/faulty-storage.ts";
import { Fixture, forever, outcomeOf, recorder, STORAGES } from "./fixture.ts";

const LIMITS = { name: "events", maxSize: 500, maxWaitMs: 3_600_000 };

describe.each(STORAGES)("on %s storage", (kind) => {
  test.each(["flush", "drain"] as const)(
    "%s() of an engine that only adds resolves when another process has done the work",
    async (call) => {
      const f = new Fixture(kind);
      const { deliveries, handler } = recorder<number>(f.clock);
      await f.started((bw) => bw.batch<number>({ ...LIMITS, handler }));
      const batch = f.process().bw.batch<number>({ ...LIMITS, handler });
      await f.run(batch.add(1));
      const called = batch[call]();
      expect(await f.isPending(called)).toBe(true);
      await f.runFor(5000, called);
      expect(deliveries.map(({ items }) => items)).toEqual([[1]]);
    },
  );

  test("a claim that is under way when the engine stops starts no handler", async () => {
    const f = new Fixture(kind);
    const { deliveries, handler } = recorder<number>(f.clock);
    const { process, bw, batch } = await f.started((one) =>
      one.batch<number>({ ...LIMITS, maxSize: 1, handler }),
    );
    process.faults = ({ method }) => (method === "exchange" ? { delayAfterMs: 100 } : undefined);
    await f.run(batch.add(1));
    await f.advance(10);
    await f.runFor(1000, bw.stop());
    expect(deliveries).toEqual([]);

    const other = recorder<number>(f.clock);
    await f.started((one) => one.batch<number>({ ...LIMITS, maxSize: 1, handler: other.handler }));
    await f.advance(1000);
    expect(other.deliveries.map(({ items, attempt }) => [items, attempt])).toEqual([[[1], 1]]);
  });

  test("stop() leaves no timer behind while the storage fails", async () => {
    const f = new Fixture(kind);
    const { process, bw, batch } = await f.started((one) =>
      one.batch<number>({ ...LIMITS, maxSize: 1, handler: () => undefined }),
    );
    process.faults = failNth({ nth: 1, method: "exchange", fail: "before", forGood: true });
    await f.run(batch.add(1));
    await f.advance(10_000);
    expect(process.logged("warn").length).toBeGreaterThan(1);
    await f.runFor(1000, bw.stop({ graceMs: 100 }));
    expect(f.clock.timerCount).toBe(0);
  });

  test("stop() leaves no timer behind for a handler that outlives its grace", async () => {
    const f = new Fixture(kind);
    const { bw, batch } = await f.started((one) =>
      one.batch<number>({ ...LIMITS, maxSize: 1, timeout: 600_000, handler: () => forever() }),
    );
    await f.run(batch.add(1));
    await f.advance(10);
    const waiting = outcomeOf(batch.flush());
    await f.runFor(1000, bw.stop({ graceMs: 100 }));
    expect(await waiting).toBe("STOPPED");
    expect(f.clock.timerCount).toBe(0);
  });
});
