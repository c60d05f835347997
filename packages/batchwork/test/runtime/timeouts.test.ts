/** Handlers that run too long. */
import { describe, expect, test } from "vitest";

import type { BatchContext } from "../../src/runtime/context.ts";
import { Fixture, Hold, recorder, STORAGES, forever, outcomeOf } from "./fixture.ts";

const LIMITS = { name: "events", maxSize: 1, maxWaitMs: 1000 };

describe.each(STORAGES)("a handler with a timeout, on %s storage", (kind) => {
  test("it is aborted on time, and the attempt has failed with HANDLER_TIMEOUT", async () => {
    const f = new Fixture(kind);
    const signals: AbortSignal[] = [];
    const { deliveries, handler } = recorder<number>(f.clock, ({ signal }) => {
      signals.push(signal);
      return forever();
    });
    const { batch } = await f.started((bw) =>
      bw.batch<number>({
        ...LIMITS,
        timeout: 2000,
        retries: { max: 1, strategy: "fixed", baseDelay: 500 },
        handler,
      }),
    );
    await f.run(batch.add(1));
    await f.advance(1999);
    expect(signals[0]?.aborted).toBe(false);
    await f.advance(1);
    expect(signals[0]?.reason).toMatchObject({ code: "HANDLER_TIMEOUT", field: "timeout" });
    await f.advance(10_000);
    expect(deliveries.map(({ attempt, at }) => [attempt, at])).toEqual([
      [1, 0],
      [2, 2500],
    ]);
    expect(await f.run(batch.deadLetters.list())).toMatchObject([
      { item: 1, attempts: 2, error: { code: "HANDLER_TIMEOUT" } },
    ]);
  });

  test("what a handler says after its timeout no longer counts", async () => {
    const f = new Fixture(kind);
    const hold = new Hold();
    const late: unknown[] = [];
    const { deliveries, handler } = recorder<number>(f.clock, async (ctx) => {
      if (ctx.attempt > 1) return;
      await hold.wait();
      const calls = [ctx.progress(100), ctx.tx(() => late.push("written"))];
      for (const outcome of await Promise.allSettled(calls)) {
        late.push(outcome.status === "rejected" && (outcome.reason as { code: string }).code);
      }
    });
    const { batch } = await f.started((bw) =>
      bw.batch<number>({
        ...LIMITS,
        timeout: 1000,
        retries: { max: 1, baseDelay: 5000 },
        handler,
      }),
    );
    await f.run(batch.add(1));
    await f.advance(1500);
    hold.releaseAll();
    await f.advance(0);
    expect(late).toEqual(["LEASE_LOST", "LEASE_LOST"]);
    expect(await f.run(batch.status())).toMatchObject({ retrying: 1, leased: 0 });
    await f.advance(10_000);
    expect(deliveries.map(({ attempt }) => attempt)).toEqual([1, 2]);
    expect(await f.run(batch.status())).toMatchObject({ retrying: 0, dead: 0 });
  });

  test("nor does it before the failed attempt could be stored", async () => {
    const f = new Fixture(kind);
    const hold = new Hold();
    const late: unknown[] = [];
    const { handler } = recorder<number>(f.clock, async (ctx) => {
      await hold.wait();
      for (const call of [() => ctx.progress(100), () => ctx.tx(() => late.push("written"))]) {
        late.push(await outcomeOf(call()));
      }
    });
    const { process, batch } = await f.started((bw) =>
      bw.batch<number>({ ...LIMITS, timeout: 1000, handler }),
    );
    await f.run(batch.add(1));
    await f.advance(500);
    process.faults = ({ method }) => (method === "exchange" ? { fail: "before" } : undefined);
    await f.advance(1000);
    hold.releaseAll();
    await f.advance(0);
    expect(late).toEqual(["LEASE_LOST", "LEASE_LOST"]);
    process.faults = () => undefined;
    await f.advance(10_000);
    expect(await f.run(batch.status())).toMatchObject({ dead: 1, leased: 0 });
  });

  test("its place is free for the next batch", async () => {
    const f = new Fixture(kind);
    const { deliveries, handler } = recorder<number>(f.clock, () => forever());
    const { batch } = await f.started((bw) =>
      bw.batch<number>({ ...LIMITS, concurrency: 1, timeout: 1000, handler }),
    );
    await f.run(batch.addBulk([1, 2]));
    await f.advance(1000);
    expect(deliveries.map(({ items }) => items)).toEqual([[1], [2]]);
  });

  test("a handler that ends in time is left alone, and leaves no timer behind", async () => {
    const f = new Fixture(kind);
    const contexts: BatchContext<number>[] = [];
    const { bw, batch } = await f.started((bw) =>
      bw.batch<number>({
        ...LIMITS,
        timeout: 60_000,
        handler: (ctx) => {
          contexts.push(ctx);
        },
      }),
    );
    await f.run(batch.add(1));
    await f.advance(0);
    await f.runFor(0, bw.stop());
    expect(f.clock.timerCount).toBe(0);
    await f.advance(100_000);
    expect(contexts.map(({ signal }) => signal.aborted)).toEqual([false]);
  });

  test("a handler that ignores its signal keeps no timer once the engine is stopped", async () => {
    const f = new Fixture(kind);
    const { bw, batch } = await f.started((bw) =>
      bw.batch<number>({
        ...LIMITS,
        timeout: 3_600_000,
        handler: () => forever(),
      }),
    );
    await f.run(batch.add(1));
    await f.advance(0);
    await f.runFor(0, bw.stop({ graceMs: 0 }));
    expect(f.clock.timerCount).toBe(0);
  });
});
