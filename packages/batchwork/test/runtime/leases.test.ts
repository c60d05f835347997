/** Who owns a batch: takeover, fencing, heartbeats, and replies that got lost. */
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

describe.each(STORAGES)("leases on %s storage", (kind) => {
  test("the batch of a dead process is taken over when its lease runs out, unchanged", async () => {
    const f = new Fixture(kind);
    const one = recorder<number>(f.clock, () => forever());
    const two = recorder<number>(f.clock);
    const dying = await f.started((bw) => bw.batch<number>({ ...LIMITS, handler: one.handler }));
    await f.run(dying.batch.addBulk([1, 2]));
    await f.advance(0);
    dying.process.kill();
    const { batch } = await f.started((bw) =>
      bw.batch<number>({ ...LIMITS, handler: two.handler }),
    );
    await f.advance(14_999);
    expect(two.deliveries).toEqual([]);
    await f.advance(1);
    const [delivery] = one.deliveries;
    expect(two.deliveries).toEqual([{ ...delivery, at: expect.any(Number) as unknown }]);
    expect(two.deliveries[0]?.attempt).toBe(1);
    expect(await f.run(batch.status())).toMatchObject({ leased: 0, retrying: 0, dead: 0 });
  });

  test("leaseMs and heartbeatMs say how soon", async () => {
    const f = new Fixture(kind);
    const one = recorder<number>(f.clock, () => forever());
    const two = recorder<number>(f.clock);
    const timing = { leaseMs: 300, heartbeatMs: 100 };
    const dying = await f.started(
      (bw) => bw.batch<number>({ ...LIMITS, handler: one.handler }),
      timing,
    );
    await f.run(dying.batch.addBulk([1, 2]));
    await f.advance(0);
    dying.process.kill();
    await f.started((bw) => bw.batch<number>({ ...LIMITS, handler: two.handler }), timing);
    await f.advance(299);
    expect(two.deliveries).toEqual([]);
    await f.advance(1);
    expect(two.deliveries).toHaveLength(1);
  });

  test("takeover waits for the lease, not for the next heartbeat", async () => {
    const f = new Fixture(kind);
    const { handler } = recorder<number>(f.clock, () => forever());
    const dying = await f.started((bw) => bw.batch<number>({ ...LIMITS, handler }));
    await f.run(dying.batch.addBulk([1, 2]));
    await f.advance(0);
    dying.process.kill();
    await f.advance(2000);
    const heir = recorder<number>(f.clock);
    await f.started((bw) => bw.batch<number>({ ...LIMITS, handler: heir.handler }));
    await f.advance(30_000);
    expect(heir.deliveries).toMatchObject([{ items: [1, 2], at: 15_000 }]);
  });

  test("a process that starts when the lease has run out takes over at once", async () => {
    const f = new Fixture(kind);
    const { handler } = recorder<number>(f.clock, () => forever());
    const dying = await f.started((bw) => bw.batch<number>({ ...LIMITS, handler }));
    await f.run(dying.batch.addBulk([1, 2]));
    await f.advance(0);
    dying.process.kill();
    await f.advance(60_000);
    const heir = recorder<number>(f.clock);
    await f.started((bw) => bw.batch<number>({ ...LIMITS, handler: heir.handler }));
    await f.advance(0);
    expect(heir.deliveries).toMatchObject([{ items: [1, 2], at: 60_000 }]);
  });

  test("heartbeats keep a long handler's lease: ten leases long, it runs once", async () => {
    const f = new Fixture(kind);
    const hold = new Hold();
    const { deliveries, handler } = recorder<number>(f.clock, () => hold.wait());
    const options = { ...LIMITS, handler };
    const { batch } = await f.started((bw) => bw.batch<number>(options));
    await f.started((bw) => bw.batch<number>(options));
    await f.run(batch.addBulk([1, 2]));
    await f.advance(150_000);
    expect(deliveries).toHaveLength(1);
    hold.releaseAll();
    await f.advance(60_000);
    expect(deliveries).toHaveLength(1);
    expect(await f.run(batch.status())).toMatchObject({ leased: 0, retrying: 0, dead: 0 });
  });

  test("a lease that ran out while the handler was paused cannot settle", async () => {
    const f = new Fixture(kind);
    const held = new Hold();
    const signals: AbortSignal[] = [];
    const one = recorder<number>(f.clock, async ({ signal }) => {
      signals.push(signal);
      await held.wait();
      throw new Error("this verdict is void");
    });
    const paused = await f.started((bw) => bw.batch<number>({ ...LIMITS, handler: one.handler }));
    await f.run(paused.batch.addBulk([1, 2]));
    await f.advance(0);
    paused.process.freeze();
    const hold = new Hold();
    const two = recorder<number>(f.clock, () => hold.wait());
    const heir = await f.started((bw) => bw.batch<number>({ ...LIMITS, handler: two.handler }));
    await f.advance(20_000);
    expect(two.deliveries).toHaveLength(1);
    paused.process.thaw();
    await f.advance(0);
    expect(signals[0]?.reason).toMatchObject({ code: "LEASE_LOST" });
    held.releaseAll();
    await f.advance(5000);
    expect(await f.run(heir.batch.status())).toMatchObject({ leased: 1, retrying: 0, dead: 0 });
    hold.releaseAll();
    await f.advance(60_000);
    expect(one.deliveries).toHaveLength(1);
    expect(two.deliveries).toHaveLength(1);
    expect(await f.run(heir.batch.status())).toMatchObject({ leased: 0, retrying: 0, dead: 0 });
  });

  test("a verdict from before the takeover that is delivered after it changes nothing", async () => {
    const f = new Fixture(kind);
    const held = new Hold();
    const one = recorder<number>(f.clock, async () => {
      await held.wait();
      throw new Error("this verdict is void");
    });
    const paused = await f.started((bw) => bw.batch<number>({ ...LIMITS, handler: one.handler }));
    await f.run(paused.batch.addBulk([1, 2]));
    await f.advance(0);
    paused.process.freeze();
    // The handler ends, but its process does not get to tell anybody.
    held.releaseAll();
    const hold = new Hold();
    const two = recorder<number>(f.clock, () => hold.wait());
    const heir = await f.started((bw) => bw.batch<number>({ ...LIMITS, handler: two.handler }));
    await f.advance(20_000);
    expect(two.deliveries).toHaveLength(1);
    paused.process.thaw();
    await f.advance(1000);
    expect(await f.run(heir.batch.status())).toMatchObject({ leased: 1, retrying: 0, dead: 0 });
    hold.releaseAll();
    await f.advance(60_000);
    expect(await f.run(heir.batch.status())).toMatchObject({ leased: 0, retrying: 0, dead: 0 });
    expect(one.deliveries.length + two.deliveries.length).toBe(2);
  });

  test("progress of a superseded delivery is refused, and the handler is told", async () => {
    const f = new Fixture(kind);
    const held = new Hold();
    const codes: unknown[] = [];
    const one = recorder<number>(f.clock, async (ctx) => {
      await held.wait();
      await ctx
        .progress(50)
        .catch((error: unknown) => codes.push((error as { code: string }).code));
      codes.push((ctx.signal.reason as { code: string }).code);
    });
    const paused = await f.started((bw) => bw.batch<number>({ ...LIMITS, handler: one.handler }));
    await f.run(paused.batch.addBulk([1, 2]));
    await f.advance(0);
    paused.process.freeze();
    const hold = new Hold();
    const two = recorder<number>(f.clock, () => hold.wait());
    const heir = await f.started((bw) => bw.batch<number>({ ...LIMITS, handler: two.handler }));
    await f.advance(20_000);
    held.releaseAll();
    await f.advance(0);
    expect(codes).toEqual(["LEASE_LOST", "LEASE_LOST"]);
    expect((await f.run(heir.batch.status())).running).toMatchObject([{ percent: null }]);
    hold.releaseAll();
  });

  test("a process that was taken for dead goes on, and nothing is held against its batches", async () => {
    const f = new Fixture(kind);
    const hold = new Hold();
    const handler = (): Promise<void> => hold.wait();
    const slow = recorder<number>(f.clock, handler);
    const busy = recorder<number>(f.clock, handler);
    const slowly = await f.started((bw) => bw.batch<number>({ ...LIMITS, handler: slow.handler }));
    await f.run(slowly.batch.addBulk([1, 2, 3, 4]));
    await f.advance(0);
    expect(slow.deliveries).toHaveLength(2);
    slowly.process.freeze();
    // The other process has work of its own, so it cannot run a suspect: that wants to be alone.
    const other = await f.started((bw) => bw.batch<number>({ ...LIMITS, handler: busy.handler }));
    await f.run(other.batch.addBulk([5, 6]));
    await f.advance(25_000);
    expect(itemsOf(busy.deliveries)).toEqual([5, 6]);
    slowly.process.thaw();
    await f.advance(10_000);
    expect(slowly.process.logged("warn")).toContain(
      "This process was taken for dead; it lost its leases and goes on.",
    );
    // No suspects any more: they run beside the batch that runs already.
    const again = [...slow.deliveries.slice(2), ...busy.deliveries.slice(1)];
    expect(itemsOf(again).toSorted(ascending)).toEqual([1, 2, 3, 4]);
    expect(again.map(({ attempt }) => attempt)).toEqual([1, 1]);
    hold.releaseAll();
    await f.advance(60_000);
    expect(await f.run(other.batch.status())).toMatchObject({ leased: 0, retrying: 0, dead: 0 });
    await f.run(slowly.batch.addBulk([7, 8]));
    await f.advance(1000);
    expect(await f.run(other.batch.status())).toMatchObject({ leased: 0, waiting: 0 });
  });
});

describe.each(STORAGES)("leases nobody knows of, on %s storage", (kind) => {
  test("now and then a process gives back what is leased to it and not run by it", async () => {
    const f = new Fixture(kind);
    const { deliveries, handler } = recorder<number>(f.clock);
    const storage = f.connect();
    const enrolled: number[] = [];
    const enroll = storage.enroll.bind(storage);
    storage.enroll = async (leaseMs) => {
      const id = await enroll(leaseMs);
      enrolled.push(id);
      return id;
    };
    const { batch } = await f.started((bw) => bw.batch<number>({ ...LIMITS, handler }), {
      storage,
    });
    await f.run(batch.add(1));
    // Claimed in the name of the process, which never hears of it.
    const claim = { queue: 1, maxSize: 1, maxBytes: Infinity, groupConcurrency: 1, limit: 1 };
    const [incarnation = 0] = enrolled;
    const claims = [claim];
    await f.run(storage.exchange({ incarnation, settlements: [], claims, alone: false }));
    expect(await f.run(batch.status())).toMatchObject({ leased: 1, waiting: 0 });
    await f.advance(20_000);
    expect(deliveries).toEqual([]);
    await f.advance(40_000);
    expect(deliveries).toMatchObject([{ items: [1], attempt: 1 }]);
    expect(await f.run(batch.status())).toMatchObject({ leased: 0, retrying: 0, dead: 0 });
  });

  test("now and then a process learns that it does not own what it runs", async () => {
    const f = new Fixture(kind);
    const hold = new Hold();
    const signals: AbortSignal[] = [];
    const handler = ({ signal }: { readonly signal: AbortSignal }): Promise<void> => {
      signals.push(signal);
      return hold.wait();
    };
    const options = { ...LIMITS, concurrency: 1, handler };
    const { process, batch } = await f.started((bw) => bw.batch<number>(options));
    await f.run(batch.addBulk([1, 2]));
    await f.advance(0);
    const heir = await f.started((bw) => bw.batch<number>(options));
    // Given back behind the first process's back.
    await f.run(process.storage.release(await f.run(process.storage.running(1))));
    await f.advance(100);
    expect(signals).toHaveLength(2);
    await f.advance(40_000);
    expect(signals[0]?.reason).toMatchObject({ code: "LEASE_LOST" });
    expect(signals[1]?.aborted).toBe(false);
    hold.releaseAll();
    await f.advance(1000);
    expect(await f.run(heir.batch.status())).toMatchObject({ leased: 0, retrying: 0, dead: 0 });
  });

  test("a delivery is told when its own process claims the batch again", async () => {
    const f = new Fixture(kind);
    const signals: AbortSignal[] = [];
    const { process, batch } = await f.started((bw) =>
      bw.batch<number>({
        ...LIMITS,
        handler: ({ signal }) => {
          signals.push(signal);
          return signals.length === 1 ? forever() : undefined;
        },
      }),
    );
    await f.run(batch.addBulk([1, 2]));
    await f.advance(0);
    await f.run(process.storage.release(await f.run(process.storage.running(1))));
    await f.advance(1000);
    expect(signals).toHaveLength(2);
    expect(signals[0]?.reason).toMatchObject({ code: "LEASE_LOST" });
    expect(await f.run(batch.status())).toMatchObject({ leased: 0, retrying: 0, dead: 0 });
  });

  test("a wall clock that jumps either way costs no lease and delays nothing", async () => {
    const f = new Fixture(kind);
    const hold = new Hold();
    const { deliveries, handler } = recorder<number>(f.clock, ({ batch: [item] }) =>
      item === 0 ? hold.wait() : undefined,
    );
    const options = { ...LIMITS, handler };
    const { batch } = await f.started((bw) => bw.batch<number>(options));
    await f.run(batch.addBulk([0, 1]));
    await f.advance(0);
    await f.run(batch.add(2));
    await f.advance(500);
    f.clock.stepWall(-3_600_000);
    await f.advance(500);
    expect(deliveries.map(({ items }) => items)).toEqual([[0, 1], [2]]);
    await f.advance(60_000);
    hold.releaseAll();
    await f.advance(0);
    expect(await f.run(batch.status())).toMatchObject({ leased: 0, retrying: 0, dead: 0 });
    f.clock.stepWall(7_200_000);
    await f.run(batch.add(3));
    await f.advance(1000);
    expect(itemsOf(deliveries)).toEqual([0, 1, 2, 3]);
  });
});

describe.each(STORAGES)("lost replies on %s storage", (kind) => {
  test("batches that were claimed by a call whose reply was lost are run, once each", async () => {
    const f = new Fixture(kind);
    const running = new Set<string>();
    const work = async ({ id }: { readonly id: string }): Promise<void> => {
      expect(running.has(id)).toBe(false);
      running.add(id);
      await new Promise<void>((resolve) => {
        f.clock.after(20, resolve);
      });
      running.delete(id);
    };
    const { deliveries, handler } = recorder<number>(f.clock, work);
    const options = { ...LIMITS, concurrency: 3, handler };
    const { process, batch } = await f.started((bw) => bw.batch<number>(options));
    const other = await f.started((bw) => bw.batch<number>(options));
    for (const one of [process, other.process]) {
      one.faults = ({ method, nth }) =>
        method === "exchange" && nth % 3 === 1 ? { fail: "after" } : undefined;
    }
    await f.run(batch.addBulk(numbers(40)));
    await f.advance(30_000);
    expect(itemsOf(deliveries).toSorted((a, b) => a - b)).toEqual(numbers(40));
    expect(new Set(deliveries.map(({ id }) => id)).size).toBe(20);
    expect(await f.run(batch.status())).toMatchObject({ leased: 0, waiting: 0, dead: 0 });
  });

  test("a lost claim is found long before its lease would run out", async () => {
    const f = new Fixture(kind);
    const { deliveries, handler } = recorder<number>(f.clock);
    const { process, batch } = await f.started((bw) => bw.batch<number>({ ...LIMITS, handler }));
    await f.run(batch.add(1));
    process.faults = ({ method }) => (method === "exchange" ? { fail: "after" } : undefined);
    await f.run(batch.add(2));
    await f.advance(0);
    process.faults = () => undefined;
    expect(deliveries).toEqual([]);
    await f.advance(1000);
    expect(deliveries).toMatchObject([{ items: [1, 2], attempt: 1 }]);
  });

  test.each(["done", "retried", "split"] as const)(
    "a settlement whose reply was lost counts once: %s",
    async (outcome) => {
      const f = new Fixture(kind);
      const lost = { next: false };
      const { deliveries, handler } = recorder<number>(f.clock, (ctx) => {
        lost.next = ctx.attempt === 1;
        if (outcome === "done" || ctx.attempt > 1) return;
        if (outcome === "retried") throw new Error("once more");
        ctx.fail(0, new Error("once more"));
      });
      const { process, batch } = await f.started((bw) =>
        bw.batch<number>({ ...LIMITS, retries: { max: 3, baseDelay: 10_000 }, handler }),
      );
      process.faults = ({ method }) => {
        if (method !== "exchange" || !lost.next) return undefined;
        lost.next = false;
        return { fail: "after" };
      };
      await f.run(batch.addBulk([1, 2]));
      await f.advance(60_000);
      const expected = {
        done: [[1, 2]],
        retried: [
          [1, 2],
          [1, 2],
        ],
        split: [[1, 2], [1]],
      };
      expect(deliveries.map(({ items }) => items)).toEqual(expected[outcome]);
      expect(deliveries.at(-1)?.attempt).toBe(outcome === "done" ? 1 : 2);
      expect(await f.run(batch.status())).toMatchObject({ leased: 0, retrying: 0, dead: 0 });
    },
  );
});
