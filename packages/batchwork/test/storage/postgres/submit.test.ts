/** `submit` with several engines on one PostgreSQL database. */
import pg from "pg";
import { expect, onTestFinished, test } from "vitest";

import { Batchwork, hasCode, type BatchContext } from "../../../src/index.ts";
import { postgres, type PostgresTx } from "../../../src/storage/postgres/index.ts";
import { describePostgres, testDatabase } from "../../postgres/database.ts";
import { numbers } from "./fixture.ts";

describePostgres("submit on PostgreSQL", () => {
  const { pool, url } = testDatabase();

  function engine(): Batchwork {
    const own = new pg.Pool({ connectionString: url, max: 5 });
    const bw = new Batchwork({ storage: postgres({ pool: own }), tickIntervalMs: 100 });
    onTestFinished(async () => {
      await bw.stop({ graceMs: 5000 });
      await own.end();
    });
    return bw;
  }

  test("callers are told their own results, whichever process has them", async () => {
    const options = {
      name: "sums",
      maxSize: 10,
      maxWaitMs: 10,
      retries: { max: 1, baseDelay: 1 },
      handler: (ctx: BatchContext<number>) => {
        if (ctx.attempt === 1 && ctx.batch.includes(3)) throw new Error("once more");
        if (ctx.batch.includes(7)) ctx.fail(ctx.batch.indexOf(7), new Error("seven"));
        return ctx.results(ctx.batch.map((item) => ({ twice: 2 * item, text: "'\\ \u0000 é" })));
      },
    };
    const [first, second, waiting] = [engine(), engine(), engine()];
    const callers = [first, second, waiting].map((bw) => bw.batch(options));
    await Promise.all([first, second].map(async (bw) => bw.start()));
    const told = await Promise.all(
      numbers(60).map(async (n) => {
        const caller = callers[n % 3] as (typeof callers)[number];
        try {
          return (await caller.submit(n, { idempotencyKey: `n ${n}` })).twice;
        } catch (error) {
          return hasCode(error, "ITEM_FAILED") ? "dead" : error;
        }
      }),
    );
    expect(told).toEqual(numbers(60).map((n) => (n === 7 ? "dead" : 2 * n)));
    const repeat = await callers[2]?.submit(5, { idempotencyKey: "n 5" });
    expect(repeat).toEqual({ twice: 10, text: "'\\ \u0000 é" });
    const left = await pool.query("SELECT count(*) FROM batchwork.payloads");
    expect(left.rows).toEqual([{ count: "0" }]);
  });

  test("results commit with ctx.tx, and an item added in a transaction has one too", async () => {
    const bw = engine();
    await pool.query("CREATE TABLE doubled (n int)");
    const batch = bw.batch({
      name: "inside",
      maxSize: 10,
      maxWaitMs: 10,
      handler: async (ctx: BatchContext<number>) =>
        ctx.tx(async (tx: PostgresTx) => {
          for (const item of ctx.batch) await tx.query("INSERT INTO doubled VALUES ($1)", [item]);
          return ctx.results(ctx.batch.map((item) => 2 * item));
        }),
    });
    await bw.start();
    expect(await batch.submit(4)).toBe(8);
    const client = await pool.connect();
    await client.query("BEGIN");
    const { id } = await batch.add(5, { tx: client, keepResult: true });
    await client.query("COMMIT");
    client.release();
    const status = await batch.result(id, { timeoutMs: 30_000 });
    expect(status).toMatchObject({ status: "succeeded", result: 10 });
    const rows = await pool.query("SELECT n FROM doubled ORDER BY n");
    expect(rows.rows).toEqual([{ n: 4 }, { n: 5 }]);
  });

  test("a dead process's results come from the one that takes over", async () => {
    // Whoever claims here first is gone before it settles: its lease is of a process of its own.
    const [lost, heir, caller] = [engine(), engine(), engine()];
    const options = { name: "heirs", maxSize: 1, maxWaitMs: 0, retries: { max: 0 } };
    const began = Promise.withResolvers<void>();
    lost.batch({
      ...options,
      handler: async (ctx: BatchContext<number>) => {
        began.resolve();
        await new Promise((resolve) => {
          ctx.signal.addEventListener("abort", resolve);
        });
      },
    });
    await lost.start();
    const batch = caller.batch({
      ...options,
      handler: (ctx: BatchContext<number>) => ctx.results(ctx.batch.map((item) => 2 * item)),
    });
    const result = batch.submit(21);
    await began.promise;
    await lost.stop({ graceMs: 0 });
    heir.batch({
      ...options,
      handler: (ctx: BatchContext<number>) => ctx.results(ctx.batch.map((item) => 2 * item)),
    });
    await heir.start();
    expect(await result).toBe(42);
  });
});
