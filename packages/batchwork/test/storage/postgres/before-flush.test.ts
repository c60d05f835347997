/** `hooks.beforeFlush` with two engines on one PostgreSQL database. */
import pg from "pg";
import { expect, onTestFinished, test } from "vitest";

import { Batchwork, type BatchContext } from "../../../src/index.ts";
import { postgres } from "../../../src/storage/postgres/index.ts";
import { describePostgres, testDatabase } from "../../postgres/database.ts";

describePostgres("hooks.beforeFlush on PostgreSQL", () => {
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

  test("each batch is filtered once, and its retries are of what was left", async () => {
    const calls: number[][] = [];
    const delivered: { id: string; items: number[]; ids: readonly string[] }[] = [];
    const options = {
      name: "filtered",
      maxSize: 10,
      maxWaitMs: 20,
      retries: { max: 2, baseDelay: 1 },
      hooks: {
        beforeFlush: (items: number[]) => {
          calls.push(items);
          return items.filter((item) => item % 2 === 0).toReversed();
        },
      },
      handler: (ctx: BatchContext<number>) => {
        delivered.push({ id: ctx.id, items: [...ctx.batch], ids: ctx.itemIds });
        if (ctx.attempt === 1) throw new Error("no luck");
        if (ctx.attempt === 2) ctx.fail(0, new Error("no luck"));
      },
    };
    const engines = [engine(), engine()];
    const [batch] = engines.map((bw) => bw.batch<number>(options));
    await Promise.all(engines.map(async (bw) => bw.start()));
    const items = Array.from({ length: 60 }, (_, n) => n);
    const added = await batch?.addBulk(items);
    await batch?.drain();
    expect(calls.flat().toSorted((a, b) => a - b)).toEqual(items);
    const even = items.filter((item) => item % 2 === 0);
    const seen = (attempt: readonly (typeof delivered)[number][]): number[] =>
      attempt.flatMap((one) => one.items).toSorted((a, b) => a - b);
    const byId = Map.groupBy(delivered, ({ id }) => id);
    const whole = [...byId.values()].filter((together) => together.length === 2);
    expect(seen(whole.map(([first]) => first as (typeof delivered)[number]))).toEqual(even);
    for (const [first, second] of whole) expect(second).toEqual(first);
    for (const { items: found, ids } of delivered) {
      expect(ids).toEqual(found.map((item) => added?.[item]?.id));
    }
    const left = await pool.query("SELECT count(*) FROM batchwork.payloads");
    expect(left.rows).toEqual([{ count: "0" }]);
    expect(await batch?.status()).toMatchObject({ waiting: 0, retrying: 0, leased: 0, dead: 0 });
  });
});
