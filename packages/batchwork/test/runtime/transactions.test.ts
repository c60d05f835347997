/** `ctx.tx`: the handler's writes and the end of its batch commit together, or not at all. */
import { describe, expect, test } from "vitest";

import type { Facade } from "../../src/runtime/facade.ts";
import {
  effectsIn,
  Fixture,
  Hold,
  itemsOf,
  numbers,
  recorder,
  STORAGES,
  forever,
} from "./fixture.ts";

const LIMITS = { name: "events", maxSize: 3, maxWaitMs: 1000 };

describe.each([...STORAGES, "better-sqlite3"] as const)("ctx.tx on %s storage", (kind) => {
  test("the writes and the acknowledgement commit together", async () => {
    const f = new Fixture(kind);
    const effects = effectsIn(f);
    const results: unknown[] = [];
    const { deliveries, handler } = recorder<number>(f.clock, async (ctx) => {
      const sum = await ctx.tx((tx) => {
        for (const item of ctx.batch) effects.write(tx, item);
        return ctx.batch.length;
      });
      results.push(sum);
    });
    const { batch } = await f.started((bw) => bw.batch<number>({ ...LIMITS, handler }));
    await f.run(batch.addBulk([1, 2, 3]));
    await f.advance(60_000);
    expect(effects.read()).toEqual([1, 2, 3]);
    expect(results).toEqual([3]);
    expect(deliveries).toHaveLength(1);
    expect(await f.run(batch.status())).toMatchObject({ leased: 0, retrying: 0, waiting: 0 });
  });

  test("the batch is acknowledged by the transaction itself, not by what follows", async () => {
    const f = new Fixture(kind);
    const effects = effectsIn(f);
    const { handler } = recorder<number>(f.clock, async (ctx) => {
      await ctx.tx((tx) => effects.write(tx, 1));
      await forever();
    });
    const first = await f.started((bw) => bw.batch<number>({ ...LIMITS, handler }));
    await f.run(first.batch.addBulk([1, 2, 3]));
    await f.advance(0);
    expect(await f.run(first.batch.status())).toMatchObject({ leased: 0 });
    first.process.kill();
    const next = recorder<number>(f.clock);
    await f.started((bw) => bw.batch<number>({ ...LIMITS, handler: next.handler }));
    await f.advance(60_000);
    expect(next.deliveries).toEqual([]);
    expect(effects.read()).toEqual([1]);
  });

  test("a throw inside leaves neither: nothing is written, and the batch is tried again", async () => {
    const f = new Fixture(kind);
    const effects = effectsIn(f);
    const caught: unknown[] = [];
    const { deliveries, handler } = recorder<number>(f.clock, async (ctx) => {
      try {
        await ctx.tx((tx) => {
          effects.write(tx, ctx.attempt);
          if (ctx.attempt === 1) throw new RangeError("changed my mind");
        });
      } catch (error) {
        caught.push(error);
        throw error;
      }
    });
    const { batch } = await f.started((bw) =>
      bw.batch<number>({ ...LIMITS, retries: { max: 1 }, handler }),
    );
    await f.run(batch.addBulk([1, 2, 3]));
    await f.advance(0);
    expect(effects.read()).toEqual([]);
    expect(caught).toEqual([new RangeError("changed my mind")]);
    await f.advance(10_000);
    expect(deliveries.map(({ attempt }) => attempt)).toEqual([1, 2]);
    expect(effects.read()).toEqual([2]);
  });

  test("an asynchronous function is refused, and nothing of it is kept", async () => {
    const f = new Fixture(kind);
    const effects = effectsIn(f);
    const late: unknown[] = [];
    const { handler } = recorder<number>(f.clock, async (ctx) => {
      await ctx.tx(async (tx) => {
        effects.write(tx, 1);
        await Promise.resolve();
        try {
          effects.write(tx, 2);
        } catch (error) {
          late.push((error as { code: string }).code);
        }
      });
    });
    const { batch } = await f.started((bw) => bw.batch<number>({ ...LIMITS, handler }));
    await f.run(batch.addBulk([1, 2, 3]));
    await f.advance(1000);
    expect(effects.read()).toEqual([]);
    expect(late).toEqual(["TX_OVER"]);
    expect(await f.run(batch.deadLetters.list({ limit: 1 }))).toMatchObject([
      { error: { code: "TX_ASYNC" } },
    ]);
  });

  test("afterwards the facade is over, and so is ctx.tx", async () => {
    const f = new Fixture(kind);
    const effects = effectsIn(f);
    const codes: unknown[] = [];
    const note = (error: unknown): void => void codes.push((error as { code: string }).code);
    const { batch } = await f.started((bw) =>
      bw.batch<number>({
        ...LIMITS,
        handler: async (ctx) => {
          const facade = await ctx.tx((tx) => [tx]);
          try {
            effects.write(facade[0] as Facade, 1);
          } catch (error) {
            note(error);
          }
          await ctx.tx((tx) => effects.write(tx, 2)).catch(note);
          try {
            ctx.fail(0, new Error("too late"));
          } catch (error) {
            note(error);
          }
        },
      }),
    );
    await f.run(batch.addBulk([1, 2, 3]));
    await f.advance(60_000);
    expect(codes).toEqual(["TX_OVER", "TX_OVER", "TX_OVER"]);
    expect(effects.read()).toEqual([]);
    expect(await f.run(batch.status())).toMatchObject({ retrying: 0, dead: 0, leased: 0 });
  });

  test("items named before it are tried again, the others are done", async () => {
    const f = new Fixture(kind);
    const effects = effectsIn(f);
    const { deliveries, handler } = recorder<number>(f.clock, async (ctx) => {
      const good = ctx.batch.filter((item) => ctx.attempt > 1 || item !== 2);
      if (ctx.attempt === 1) ctx.fail(1, new Error("not yet"));
      await ctx.tx((tx) => {
        for (const item of good) effects.write(tx, item);
      });
    });
    const { batch } = await f.started((bw) =>
      bw.batch<number>({ ...LIMITS, retries: { max: 1 }, handler }),
    );
    await f.run(batch.addBulk([1, 2, 3]));
    await f.advance(60_000);
    expect(deliveries.map(({ items }) => items)).toEqual([[1, 2, 3], [2]]);
    expect(effects.read()).toEqual([1, 3, 2]);
  });

  test("items that die with it are told of", async () => {
    const f = new Fixture(kind);
    const told: unknown[] = [];
    const { batch } = await f.started((bw) =>
      bw.batch<number>({
        ...LIMITS,
        deadLetter: { enabled: true, onDead: ({ items }) => told.push(items) },
        handler: async (ctx) => {
          await ctx.tx(() => ctx.fail(2, new Error("bad")));
        },
      }),
    );
    await f.run(batch.addBulk([1, 2, 3]));
    await f.advance(0);
    expect(told).toEqual([[3]]);
  });

  test("a throw after the commit is a warning, not a retry", async () => {
    const f = new Fixture(kind);
    const effects = effectsIn(f);
    const { deliveries, handler } = recorder<number>(f.clock, async (ctx) => {
      await ctx.tx((tx) => effects.write(tx, 1));
      throw new Error("afterwards");
    });
    const { process, batch } = await f.started((bw) =>
      bw.batch<number>({ ...LIMITS, retries: { max: 5 }, handler }),
    );
    await f.run(batch.addBulk([1, 2, 3]));
    await f.advance(60_000);
    expect(deliveries).toHaveLength(1);
    expect(effects.read()).toEqual([1]);
    expect(process.logs).toMatchObject([
      { level: "warn", fields: { name: "events", error: { message: "afterwards" } } },
    ]);
  });

  test("adds to another batch inside it commit, or vanish, with it", async () => {
    const f = new Fixture(kind);
    const follow = recorder<string>(f.clock);
    const { batch } = await f.started((bw) => {
      const followers = bw.batch<string>({
        ...LIMITS,
        name: "followers",
        maxSize: 3,
        maxWaitMs: 60_000,
        handler: follow.handler,
      });
      return bw.batch<number>({
        ...LIMITS,
        retries: { max: 1 },
        handler: async (ctx) => {
          await ctx.tx((tx) => {
            for (const n of ctx.batch) followers.addSync(`${n} #${ctx.attempt}`, { tx });
            if (ctx.attempt === 1) throw new Error("not yet");
          });
        },
      });
    });
    await f.run(batch.addBulk([1, 2, 3]));
    await f.advance(999);
    expect(follow.deliveries).toEqual([]);
    await f.advance(1);
    expect(itemsOf(follow.deliveries)).toEqual(["1 #2", "2 #2", "3 #2"]);
  });

  test("a process that was superseded writes nothing", async () => {
    const f = new Fixture(kind);
    const effects = effectsIn(f);
    const hold = new Hold();
    const codes: unknown[] = [];
    const zombie = await f.started((bw) =>
      bw.batch<number>({
        ...LIMITS,
        handler: async (ctx) => {
          await hold.wait();
          await ctx
            .tx((tx) => effects.write(tx, -1))
            .catch((error: unknown) => codes.push((error as { code: string }).code));
          codes.push((ctx.signal.reason as { code: string }).code);
        },
      }),
    );
    await f.run(zombie.batch.addBulk([1, 2, 3]));
    await f.advance(0);
    zombie.process.freeze();
    const heir = recorder<number>(f.clock, async (ctx) => {
      await ctx.tx((tx) => effects.write(tx, 1));
    });
    await f.started((bw) => bw.batch<number>({ ...LIMITS, handler: heir.handler }));
    await f.advance(30_000);
    expect(heir.deliveries).toHaveLength(1);
    hold.releaseAll();
    await f.advance(0);
    expect(codes).toEqual(["LEASE_LOST", "LEASE_LOST"]);
    zombie.process.thaw();
    await f.advance(60_000);
    expect(effects.read()).toEqual([1]);
    expect(await f.run(zombie.batch.status())).toMatchObject({ dead: 0, retrying: 0, leased: 0 });
  });

  test("when the reply to its commit is lost, nothing happens twice", async () => {
    const f = new Fixture(kind);
    const effects = effectsIn(f);
    const { deliveries, handler } = recorder<number>(f.clock, async (ctx) => {
      await ctx.tx((tx) => effects.write(tx, ctx.attempt));
    });
    const { process, batch } = await f.started((bw) =>
      bw.batch<number>({ ...LIMITS, retries: { max: 3, baseDelay: 100 }, handler }),
    );
    process.faults = ({ method, nth }) =>
      method === "transact" && nth === 1 ? { fail: "after" } : undefined;
    await f.run(batch.addBulk(numbers(3)));
    await f.advance(60_000);
    expect(effects.read()).toEqual([1]);
    expect(deliveries).toHaveLength(1);
    expect(await f.run(batch.status())).toMatchObject({ dead: 0, retrying: 0, leased: 0 });
  });
});
