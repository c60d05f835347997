/** What is special about `ctx.tx` on a SQLite file: locks, statements, the user's own handle. */
import { describe, expect, test } from "vitest";

import { sqlite } from "../../src/storage/sqlite/index.ts";
import { DRIVERS, effectsIn, Fixture, Hold, recorder, forever } from "./fixture.ts";

const LIMITS = { name: "events", maxSize: 3, maxWaitMs: 1000 };

describe.each(DRIVERS)("ctx.tx on a SQLite file, opened with %s", (driver) => {
  test("the transaction is the engine's: a handler cannot end it, nor keep a statement", async () => {
    const f = new Fixture(driver);
    const effects = effectsIn(f);
    const codes: unknown[] = [];
    const attempt = (work: () => unknown): void => {
      try {
        work();
      } catch (error) {
        codes.push((error as { code?: string }).code);
      }
    };
    const { batch } = await f.started((bw) =>
      bw.batch<number>({
        ...LIMITS,
        handler: async (ctx) => {
          const kept = await ctx.tx((tx) => {
            effects.write(tx, 1);
            attempt(() => tx.exec("COMMIT"));
            attempt(() => tx.exec("ROLLBACK"));
            return [tx.prepare("INSERT INTO effects VALUES (?)")];
          });
          attempt(() => kept[0]?.run(2));
        },
      }),
    );
    await f.run(batch.addBulk([1, 2, 3]));
    await f.advance(1000);
    expect(codes).toHaveLength(3);
    expect(codes[2]).toBe("TX_OVER");
    expect(effects.read()).toEqual([1]);
  });

  test("it waits while another connection holds the write lock, without blocking the process", async () => {
    const f = new Fixture(driver);
    const effects = effectsIn(f);
    const { deliveries, handler } = recorder<number>(f.clock, async (ctx) => {
      await ctx.tx((tx) => effects.write(tx, 1));
    });
    const { batch } = await f.started((bw) => bw.batch<number>({ ...LIMITS, handler }));
    const database = f.handle();
    await f.run(batch.addBulk([1, 2, 3]));
    const turns: number[] = [];
    f.clock.soon(() => void database.exec("BEGIN IMMEDIATE"));
    f.clock.after(500, () => void turns.push(f.clock.monotonicMs()));
    f.clock.after(1000, () => void database.exec("COMMIT"));
    await f.advance(900);
    expect(turns).toEqual([500]);
    await f.advance(2000);
    expect(deliveries).toHaveLength(1);
    expect(effects.read()).toEqual([1]);
  });

  test("on a lent handle it waits while the user is in a transaction of his own", async () => {
    const f = new Fixture(driver);
    const database = f.handle();
    database.exec("CREATE TABLE effects (value INTEGER NOT NULL)");
    const hold = new Hold();
    const { deliveries, handler } = recorder<number>(f.clock, async (ctx) => {
      await hold.wait();
      await ctx.tx((tx) => tx.exec("INSERT INTO effects VALUES (1)"));
    });
    const { batch } = await f.started((bw) => bw.batch<number>({ ...LIMITS, handler }), {
      storage: sqlite({ database }),
    });
    await f.run(batch.addBulk([1, 2, 3]));
    await f.advance(0);
    database.exec("BEGIN");
    database.exec("INSERT INTO effects VALUES (100)");
    hold.releaseAll();
    await f.advance(500);
    expect(database.prepare("SELECT count(*) AS n FROM effects").get()).toEqual({ n: 1 });
    database.exec("ROLLBACK");
    await f.advance(5000);
    expect(database.prepare("SELECT value FROM effects").all()).toEqual([{ value: 1 }]);
    expect(deliveries).toHaveLength(1);
  });

  test("when the timeout passes while the commit is under way, the commit decides", async () => {
    const f = new Fixture(driver);
    const effects = effectsIn(f);
    const hold = new Hold();
    const signals: AbortSignal[] = [];
    const { deliveries, handler } = recorder<number>(f.clock, async (ctx) => {
      signals.push(ctx.signal);
      await hold.wait();
      await ctx.tx((tx) => effects.write(tx, ctx.attempt));
    });
    const { process, batch } = await f.started((bw) =>
      bw.batch<number>({ ...LIMITS, timeout: 500, retries: { max: 1 }, handler }),
    );
    await f.run(batch.addBulk([1, 2, 3]));
    await f.advance(100);
    const database = f.handle();
    database.exec("BEGIN IMMEDIATE");
    hold.releaseAll();
    await f.advance(700);
    database.exec("COMMIT");
    await f.advance(60_000);
    expect(effects.read()).toEqual([1]);
    expect(deliveries).toHaveLength(1);
    expect(signals.map(({ aborted }) => aborted)).toEqual([false]);
    expect(process.logs).toEqual([]);
  });

  test("when it fails after that, the timeout counts", async () => {
    const f = new Fixture(driver);
    const hold = new Hold();
    const { deliveries, handler } = recorder<number>(f.clock, async (ctx) => {
      if (ctx.attempt > 1) return;
      await hold.wait();
      await ctx
        .tx(() => {
          throw new Error("no");
        })
        .catch(() => undefined);
      await forever();
    });
    const { batch } = await f.started((bw) =>
      bw.batch<number>({ ...LIMITS, timeout: 500, retries: { max: 1 }, handler }),
    );
    await f.run(batch.addBulk([1, 2, 3]));
    await f.advance(100);
    const database = f.handle();
    database.exec("BEGIN IMMEDIATE");
    hold.releaseAll();
    await f.advance(700);
    database.exec("COMMIT");
    await f.advance(60_000);
    expect(deliveries.map(({ attempt }) => attempt)).toEqual([1, 2]);
  });

  test.each(["returns", "throws"] as const)(
    "a handler that %s without waiting for it leaves the decision to it",
    async (end) => {
      const f = new Fixture(driver);
      const effects = effectsIn(f);
      const database = f.handle();
      const { deliveries, handler } = recorder<number>(f.clock, (ctx) => {
        database.exec("BEGIN IMMEDIATE");
        void ctx.tx((tx) => effects.write(tx, ctx.attempt));
        if (end === "throws") throw new Error("after it began");
      });
      const { batch } = await f.started((bw) =>
        bw.batch<number>({ ...LIMITS, retries: { max: 1 }, handler }),
      );
      await f.run(batch.addBulk([1, 2, 3]));
      await f.advance(100);
      expect(effects.read()).toEqual([]);
      database.exec("COMMIT");
      await f.advance(60_000);
      expect(effects.read()).toEqual([1]);
      expect(deliveries).toHaveLength(1);
    },
  );

  test("when a transaction that the handler did not wait for fails, the attempt has failed", async () => {
    const f = new Fixture(driver);
    const database = f.handle();
    const { deliveries, handler } = recorder<number>(f.clock, (ctx) => {
      if (ctx.attempt > 1) return;
      database.exec("BEGIN IMMEDIATE");
      ctx
        .tx(() => {
          throw new Error("no");
        })
        .catch(() => undefined);
    });
    const { batch } = await f.started((bw) =>
      bw.batch<number>({ ...LIMITS, retries: { max: 1 }, handler }),
    );
    await f.run(batch.addBulk([1, 2, 3]));
    await f.advance(100);
    database.exec("COMMIT");
    await f.advance(60_000);
    expect(deliveries.map(({ attempt }) => attempt)).toEqual([1, 2]);
    expect(await f.run(batch.status())).toMatchObject({ leased: 0, retrying: 0, dead: 0 });
  });
});
